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
    "blog": "the blog's student alone",
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
    """What distillation gave, in three sentences: means over seeds."""
    student = study["students"]["residual-distilled"]
    times = study["teacher"]["parameters"] / student["parameters"]
    gain = {arch: study["differences"][arch]["distilled_minus_baseline"]["auroc"] for arch in ARCHITECTURES}
    accuracy = study["differences"]["residual"]["distilled_minus_baseline"]["accuracy"]
    gave = {
        arch: verdict(each, better="a measurable gain", worse="a measurable loss", neither="no measurable gain")
        for arch, each in gain.items()
    }
    return (
        f"On the official test split the distilled student, {times:.0f} times smaller than its teacher, has AUROC "
        f"{interval(student['auroc'])} and accuracy {interval(student['accuracy'])}: means over "
        f"{student['auroc']['seeds']} seeds, 95% intervals in brackets. Compared with the same student trained without "
        f"a teacher, distillation gave it {gave['residual']} in AUROC, {interval(gain['residual'], sign=True)}, and "
        f"changed accuracy by {interval(accuracy, sign=True)}. A simpler student of three convolutions had "
        f"{gave['plain']}: {interval(gain['plain'], sign=True)}."
    )


def seeds_table(study: Results) -> str:
    """Accuracy, AUROC, sensitivity and specificity on test: the teacher, and students as means over their seeds."""
    rows = [["teacher", f"{study['teacher']['parameters']:,}", "1", *(interval(study["teacher"][m]) for m in METRICS)]]
    for arch, words in ARCHITECTURES.items():
        for kind, taught in (("distilled", "distilled"), ("baseline", "without a teacher")):
            student = study["students"][f"{arch}-{kind}"]
            seeds = str(student["auroc"]["seeds"])
            cells = [interval(student[metric]) for metric in METRICS]
            rows.append([f"student ({words}), {taught}", f"{student['parameters']:,}", seeds, *cells])
    return table(["network", "parameters", "seeds", *METRICS.values()], rows)


def released(study: Results, evaluation: Results) -> str:
    """Where the released model, which is that of seed 0, lies among the seeds."""
    test, seeds = evaluation["models"]["distilled"]["test"], study["students"]["residual-distilled"]["by_seed"]
    parts = []
    for metric in ("accuracy", "auroc"):
        values = seeds[metric]
        rank = 1 + sum(value > test[metric] + 1e-9 for value in values)
        place = f"place {rank} of {len(values)}, from {min(values):.3f} to {max(values):.3f}"
        parts.append(f"{METRICS[metric]} {test[metric]:.3f} ({place})")
    return (
        f"The released model is that of seed 0, which was fixed before any training: {' and '.join(parts)}. "
        "Expect the mean, not this seed."
    )


def study_answers(study: Results) -> str:
    """The study in short: the blog post taken apart, steps that helped and hurt, what geometry alone gives."""
    causes = study["blog"]["causes"]
    parts = [
        f"{words} {interval(causes[name]['accuracy'], sign=True)}"
        for name, words in (
            ("learning_rate", "the learning rate, which differs between its two programs,"),
            ("then_distillation", "then distillation"),
            ("then_teacher_in_train_mode", "then the teacher's BatchNorm in train mode"),
        )
    ]
    rose, fell, _ = _by_verdict(study)
    shortcuts, student = study["shortcuts"], "residual-distilled"
    within = shortcuts["auroc_within_strata"]
    return "\n".join(
        [
            "- **The blog post** reports accuracy 72% for its plain student and 86% for its distilled one. Here the "
            f"same change gives {interval(causes['all_of_it']['accuracy'], sign=True)}, in this order: "
            f"{'; '.join(parts)}.",
            f"- **Steps from its recipe to ours** that raised AUROC: {_listed(rose)}. Steps that lowered it: "
            f"{_listed(fell)}. [All steps](docs/how-it-works.md#what-each-step-changed-on-test).",
            "- **Shortcuts:** width and height of the file alone, no pixels, reach AUROC "
            f"{interval(shortcuts['geometry']['auroc'])}. Among films of similar geometry they have "
            f"{interval(within['geometry'])}, and the distilled student {interval(within[student])}.",
        ]
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
    head = ["step", "change of AUROC", "change of accuracy", "sensitivity then", "specificity then"]
    seeds = {cell["seeds"] for _, cell in steps[:-1]}
    return "\n".join(
        [
            table(head, rows),
            "",
            f"- AUROC rose (interval above 0): {_listed(rose)}.",
            f"- AUROC fell (interval below 0): {_listed(fell)}.",
            f"- No measurable change of AUROC: {_listed(neither)}.",
            f"- Short schedules and {max(seeds)} seed a step, but for the last line. The intervals are over patients, "
            "so they leave out what another seed would give.",
        ]
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
