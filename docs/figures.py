"""What README and docs/ say in figures, made from committed results alone: nothing is typed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_distill.base.errors import CxrError

ROOT = Path(__file__).resolve().parent.parent
METRICS = {"accuracy": "accuracy", "auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}
ARCHITECTURES = {"residual": "residual", "plain": "three convolutions"}
STEPS = {
    "blog": "the blog's student without a teacher",
    "residual": "residual student",
    "balanced": "balanced classes",
    "film quality": "balanced film quality",
    "batchnorm of images": "BatchNorm of whole films",
    "learning rate": "our learning rate",
    "last epoch": "last epoch kept",
    "blog loss": "distilled with the blog's loss",
    "our loss": "distilled with our loss",
}
"""A step of the ablation in words, where its name in study/params.yaml does not say enough."""

Results = Mapping[str, Any]
"""A parsed JSON file of results."""


def read_results(name: str) -> Results:
    """A committed JSON file. Raises CxrError if it is missing or damaged."""
    try:
        results: Results = json.loads((ROOT / name).read_text())
    except (OSError, ValueError) as error:
        raise CxrError(f"cannot read {name}: {error}; run `dvc repro` and `make study`") from error
    return results


def interval(estimate: Results, *, sign: bool = False) -> str:
    """`0.937 [0.917, 0.956]` of {value or mean, low, high}.

    With a `sign` it has four digits where three would hide on which side of 0 a number is.
    """
    numbers = [float(estimate[key]) for key in ("mean" if "mean" in estimate else "value", "low", "high")]
    digits = 4 if sign and any(number and abs(number) < 0.0005 for number in numbers) else 3
    middle, low, high = (f"{number:{'+' if sign else ''}.{digits}f}" for number in numbers)
    return f"{middle} [{low}, {high}]"


def verdict(difference: Results, *, better: str, worse: str, neither: str) -> str:
    """One of three words, by whether the 95% interval of a difference lies above 0, below 0 or includes it."""
    return better if difference["low"] > 0 else worse if difference["high"] < 0 else neither


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def answer(study: Results) -> str:
    """Whether distillation helps, in three paragraphs: the differences, the student, a likely reason."""
    student = study["students"]["residual-distilled"]
    times = study["teacher"]["parameters"] / student["parameters"]
    change = study["differences"]["residual"]["distilled_minus_baseline"]
    helped = verdict(
        change["auroc"],
        better="Yes, with this recipe.",
        worse="No: with this recipe it does harm.",
        neither="Not measurably, with this recipe.",
    )
    others = [
        verdict(
            change[metric],
            better=f"It raised {METRICS[metric]}: {interval(change[metric], sign=True)}.",
            worse=f"It lowered {METRICS[metric]}: {interval(change[metric], sign=True)}.",
            neither="",
        )
        for metric in ("sensitivity", "specificity")
    ]
    differences = (
        f"**{helped}** The baseline is the same student without a teacher. Over {student['auroc']['seeds']} seeds, "
        f"distillation changed the baseline's AUROC by {interval(change['auroc'], sign=True)} and its accuracy by "
        f"{interval(change['accuracy'], sign=True)}. {' '.join(filter(None, others))}"
    )
    size = (
        f"The distilled student is {times:.0f} times smaller than its teacher. On the {study['n']} films of the "
        f"official test split it has AUROC {interval(student['auroc'])} and accuracy {interval(student['accuracy'])} "
        "(means over seeds; 95% intervals in brackets)."
    )
    return "\n\n".join([differences.strip(), size, *_reason(study)])


def _reason(study: Results) -> list[str]:
    """Why distillation gave nothing, as far as the differences to the teacher say so; [] where it changed AUROC."""
    gain = {arch: study["differences"][arch]["distilled_minus_baseline"]["auroc"] for arch in ARCHITECTURES}
    behind = {arch: study["differences"][arch]["baseline_minus_teacher"] for arch in ARCHITECTURES}
    changed = not gain["residual"]["low"] <= 0 <= gain["residual"]["high"]
    if changed or any(behind["residual"][metric]["high"] < 0 for metric in ("auroc", "accuracy")):
        return []
    worse = [words for metric, words in METRICS.items() if behind["residual"][metric]["high"] < 0]
    parts = [
        "A likely reason: in AUROC and accuracy the baseline is not measurably worse than the teacher. Baseline minus "
        f"teacher is {interval(behind['residual']['auroc'], sign=True)} in AUROC and "
        f"{interval(behind['residual']['accuracy'], sign=True)} in accuracy."
    ]
    if worse:
        parts.append(f"The baseline is measurably worse only in {_listed(worse)}.")
    if behind["plain"]["auroc"]["high"] < 0 and gain["plain"]["low"] <= 0:
        parts.append(
            "This is not the whole reason. A simpler student, with three convolutions, is measurably worse than the "
            "teacher, and distillation gave it no measurable gain in AUROC either: "
            f"{interval(gain['plain'], sign=True)}."
        )
    return [" ".join(parts)]


def seeds_table(study: Results) -> str:
    """Test metrics of the teacher, and of students as means over their seeds; below it, specificity on validation."""
    rows = [["teacher", f"{study['teacher']['parameters']:,}", "1", *(interval(study["teacher"][m]) for m in METRICS)]]
    for arch, words in ARCHITECTURES.items():
        for kind, name in (("distilled", "distilled student ({})"), ("baseline", "baseline ({}), no teacher")):
            student = study["students"][f"{arch}-{kind}"]
            seeds = str(student["auroc"]["seeds"])
            cells = [interval(student[metric]) for metric in METRICS]
            rows.append([name.format(words), f"{student['parameters']:,}", seeds, *cells])
    student = study["students"]["residual-distilled"]
    note = (
        f"On validation films the distilled student (residual) has specificity "
        f"{interval(student['validation']['specificity'])}, and {interval(student['specificity'])} on test. "
        "[The limits](#limits) say why."
    )
    return "\n".join([table(["network", "parameters", "seeds", *METRICS.values()], rows), "", note])


def released(study: Results, evaluation: Results) -> str:
    """Where the released model, which is that of seed 0, lies among the seeds; and how many films were left out."""
    test, seeds = evaluation["models"]["distilled"]["test"], study["students"]["residual-distilled"]["by_seed"]
    places = " ".join(
        f"Its {METRICS[metric]} is {test[metric]:.3f}, {_place(test[metric], seeds[metric])}; the seeds range from "
        f"{min(seeds[metric]):.3f} to {max(seeds[metric]):.3f}."
        for metric in ("accuracy", "auroc")
    )
    dataset = evaluation["dataset"]
    films, copies = dataset["images"], dataset["duplicates_kept_out"]
    return (
        f"The released model is that of seed 0. This seed was fixed before any training. {places} Expect the mean of "
        f"the table, not the figures of this seed. Of the {films:,} films, {films - copies:,} are used. The other "
        f"{copies} are exact copies of films that are used."
    )


def _place(value: float, values: Sequence[float]) -> str:
    """`the lowest of 5 seeds (shared by 2 seeds)`; equal to six digits is a tie."""
    above = sum(other > value + 1e-9 for other in values)
    ties = sum(abs(other - value) <= 1e-9 for other in values) - 1
    below = len(values) - above - ties - 1
    rank = "the highest" if not above else "the lowest" if not below else f"number {above + 1} from the top"
    shared = f" (shared by {ties + 1} seeds)" if ties > 0 else ""
    return f"{rank} of {len(values)} seeds{shared}"


def study_answers(study: Results) -> str:
    """The study in short: the blog post taken apart, where a teacher helped, steps, what the film's shape gives."""
    causes = {name: cause["accuracy"] for name, cause in study["blog"]["causes"].items()}
    rose, fell, _ = _by_verdict(study)
    shortcuts, student = study["shortcuts"], "residual-distilled"
    within, originals = shortcuts["auroc_within_strata"], study["originals"]["all"]
    changed = originals["n"] * originals["distilled"]["original_and_copy"]["decisions_changed"]["value"]
    return "\n".join(
        [
            "- **The blog post** reports accuracy 72% for its student without a teacher and 86% for its distilled one: "
            f"14 points more. Here the same changes give {_points(causes['all_of_it'])} (one seed, threshold 0.5). The "
            "post's two programs differ in three things. One after the other,",
            f"  - the learning rate gives {_points(causes['learning_rate'])};",
            f"  - then distillation gives {_points(causes['then_distillation'])};",
            f"  - then the teacher's BatchNorm in train mode gives {_points(causes['then_teacher_in_train_mode'])}.",
            _where_a_teacher_helped(study),
            f"- **Steps from the blog's recipe to ours** that raised AUROC: {_listed(rose)}. Steps that lowered it: "
            f"{_listed(fell)}. [All steps](docs/how-it-works.md#what-each-step-changed-on-test).",
            "- **Shortcuts:** logistic regression on width and height, without pixels, has AUROC "
            f"{interval(shortcuts['geometry']['auroc'])}. Among films of similar width and height it has "
            f"{interval(within['geometry'])}, and the distilled student {interval(within[student])}.",
            f"- **Small copies:** the student decides differently on the original film for {changed:.0f} of the "
            f"{originals['n']} that were at hand.",
        ]
    )


def _points(difference: Results) -> str:
    """`+6.6 points [+4.2, +9.3]` of a difference of two shares."""
    middle, low, high = (f"{100 * difference[key]:+.1f}" for key in ("value", "low", "high"))
    return f"{middle} points [{low}, {high}]"


def _where_a_teacher_helped(study: Results) -> str:
    """One bullet that reconciles the study with the headline: what a teacher did to AUROC in each recipe."""
    verdicts = {"better": "raised", "worse": "lowered", "neither": "did not measurably change"}
    blog = study["blog"]["causes"]["then_distillation"]["auroc"]
    steps = {_step(name): cell["step"]["auroc"] for name, cell in study["ablation"].items() if "step" in cell}
    raised = [
        f"the step *{name}* raised it by {interval(step, sign=True)} over the step before"
        for name, step in steps.items()
        if name.startswith("distilled") and step["low"] > 0
    ]
    full = study["differences"]["residual"]["distilled_minus_baseline"]["auroc"]
    seeds = study["students"]["residual-distilled"]["auroc"]["seeds"]
    return (
        f"- **When a teacher helps:** with the blog's recipe it {verdict(blog, **verdicts)} AUROC: "
        f"{interval(blog, sign=True)}. With our choices and a short schedule, "
        f"{_listed(raised) if raised else 'no step of distillation measurably raised it'}. These are one seed each. "
        f"With our full recipe, over {seeds} seeds, it {verdict(full, **verdicts)} AUROC."
    )


def _by_verdict(study: Results) -> tuple[list[str], list[str], list[str]]:
    """Steps of the ablation whose interval of AUROC lies above 0, below 0, or includes it."""
    found: dict[str, list[str]] = {"rose": [], "fell": [], "neither": []}
    for name, cell in list(study["ablation"].items())[1:]:
        found[verdict(cell["step"]["auroc"], better="rose", worse="fell", neither="neither")].append(_step(name))
    return found["rose"], found["fell"], found["neither"]


def _step(name: str) -> str:
    words = re.sub(r"^ablation_\d+_", "", name).replace("_", " ")
    return STEPS.get(words, words)


def ablation(study: Results) -> str:
    """What each step from the blog's recipe to ours changed on test, which helped and which hurt."""
    steps = list(study["ablation"].items())
    rows = []
    for name, cell in steps:
        change = [
            interval(cell["step"][metric], sign=True) if "step" in cell else "" for metric in ("auroc", "accuracy")
        ]
        then = [f"{cell['test'][metric]['value']:.2f}" for metric in ("sensitivity", "specificity")]
        rows.append([_step(name), *change, *then])
    rose, fell, neither = _by_verdict(study)
    head = [
        "step",
        "change of AUROC",
        "change of accuracy",
        "sensitivity after this step",
        "specificity after this step",
    ]
    seeds = {cell["seeds"] for _, cell in steps[:-1]}
    return "\n".join(
        [
            table(head, rows),
            "",
            f"- AUROC rose (interval above 0): {_listed(rose)}.",
            f"- AUROC fell (interval below 0): {_listed(fell)}.",
            f"- No measurable change of AUROC (the interval includes 0): {_listed(neither)}.",
            f"- Every line but the last has a short schedule and {max(seeds)} seed. Its interval is over patients, so "
            "it leaves out what another seed would give.",
            f"- The last line is the mean over {steps[-1][1]['seeds']} seeds. So its change mixes the longer schedule "
            "with the choice of seeds.",
        ]
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
