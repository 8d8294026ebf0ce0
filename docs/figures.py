"""What README and docs/ say in figures, made from committed results alone: nothing is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import signed

ROOT = Path(__file__).resolve().parent.parent
METRICS = {"accuracy": "accuracy", "auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}
WHO = {"alone": "no teacher", "films": "teacher sees films", "lungs": "teacher sees lungs"}
"""Who taught a student, as in study/results.json -> in words."""
PLACES = {
    "test_reframed": "test films in the other frame",
    "test": "test films as they are",
    "validation_reframed": "validation films in the other frame",
}

ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}

Results = Mapping[str, Any]
"""A parsed JSON file of results."""


def read_results(name: str) -> Results:
    """A committed JSON file. Raises CxrError if it is missing or damaged."""
    try:
        results: Results = json.loads((ROOT / name).read_text())
    except (OSError, ValueError) as error:
        raise CxrError(f"cannot read {name}: {error}; run `dvc repro` and `make study`") from error
    return results


def interval(estimate: Results) -> str:
    """`0.937 [0.917, 0.956]` of {value or mean, low, high}."""
    middle, low, high = (f"{estimate[key]:.3f}" for key in ("mean" if "mean" in estimate else "value", "low", "high"))
    return f"{middle} [{low}, {high}]"


def verdict(difference: Results, *, better: str, worse: str, neither: str) -> str:
    """One of three words, by whether the 95% interval of a difference lies above 0, below 0 or includes it."""
    return better if difference["low"] > 0 else worse if difference["high"] < 0 else neither


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def answer(study: Results, checked: Results) -> str:
    """Whether distillation helps: in words, in a table, and how good and how large the student is.

    checked: reports/release.json, which has the size of the released files.
    """
    student, taught = _main(study)
    times = study["teachers"][study["taught_by"]]["parameters"] / student["parameters"]
    change = study["size"]["differences"][study["student"]][f"{study['taught_by']}_minus_alone"]
    tuned = _against_tuned(study)
    compared = {"baseline": change, **({"tuned baseline": tuned} if tuned else {})}
    (first, where), *others = PLACES.items()
    higher = [each[first]["auroc"]["low"] > 0 for each in compared.values()]
    helps = "yes" if all(higher) else "against one baseline" if any(higher) else "no"
    also = " ".join(f"On {words}, it is {_measured(compared, place)}." for place, words in others)
    lead = (
        f"**On {where}, {helps}: the distilled student's AUROC is {_measured(compared, first)}.** In the *other "
        "frame*, each film is moved and scaled so that its lungs lie where those of a film of the other class lie. "
        f"{also} The baseline is the same student without a teacher.{_tuned(study)} Means over "
        f"{taught['test']['auroc']['seeds']} seeds, with 95% intervals."
    )
    rows = [
        [words, *(signed(each[place][m]) for each in compared.values() for m in ("auroc", "accuracy"))]
        for place, words in PLACES.items()
    ]
    names = [f"{metric}, minus {other}" for other in compared for metric in ("AUROC", "accuracy")]
    differences = table(["distilled student, films", *names], rows)
    size = (
        f"The distilled student has {student['parameters']:,} parameters, {times:.0f} times fewer than its teacher, "
        f"and {checked['int8']['megabytes']:.2f} MB in int8. On the {study['n']} films of the official test split it "
        f"has AUROC {interval(taught['test']['auroc'])} and accuracy {interval(taught['test']['accuracy'])}; in the "
        f"other frame {interval(taught['test_reframed']['auroc'])} and "
        f"{interval(taught['test_reframed']['accuracy'])}."
    )
    return "\n\n".join([lead, differences, size])


def _measured(compared: Mapping[str, Results], place: str) -> str:
    """`higher than the baseline's and not measurably different from the tuned baseline's`."""
    than: dict[str, list[str]] = {}
    for name, each in compared.items():
        words = verdict(
            each[place]["auroc"], better="higher than", worse="**lower** than", neither="not measurably different from"
        )
        than.setdefault(words, []).append(f"the {name}'s")
    return " and ".join(f"{words} {_listed(names)}" for words, names in than.items())


def _against_tuned(study: Results) -> Results | None:
    """The main student minus its tuned baseline, if it has one."""
    each: Results = study["tuning"]["students"].get(study["student"], {})
    return each.get(f"{study['taught_by']}_minus_tuned")


def _tuned(study: Results) -> str:
    """A sentence on the tuned baseline of the main student, if it has one."""
    tuning = study["tuning"]
    if _against_tuned(study) is None:
        return ""
    return (
        f" The *tuned baseline* has another of {len(tuning['settings'])} settings (chosen with one seed of "
        f"`{tuning['student']}`)."
    )


def _main(study: Results) -> tuple[Results, Results]:
    """The student of params.yaml, and its figures as taught by the main pipeline's teacher."""
    student = study["size"]["students"][study["student"]]
    return student, student["by_teacher"][study["taught_by"]]


def _where(study: Results, place: str) -> str:
    """In how many cases a teacher raised AUROC, and in which it did not or lowered it."""
    found = study["is_a_teacher_worth_it"][place]
    others = "".join(
        f" {words}: {'; '.join(found[key])}."
        for key, words in (("includes_zero", "No measurable change"), ("lower", "It lowered AUROC"))
        if found[key]
    )
    return (
        f"- **When does a teacher help?** On {PLACES[place]}, a teacher raised AUROC in {len(found['higher'])} of "
        f"{sum(map(len, found.values()))} cases.{others}"
    )


def seeds_table(study: Results) -> str:
    """Test metrics of the teacher, and of students with and without it as means over seeds; below it, validation."""
    kind = study["taught_by"]
    teacher = study["teachers"][kind]
    rows = [["ResNet-18", f"{teacher['parameters']:,}", "1", f"the teacher: sees {kind}", *_scores(teacher)]]
    for name, student in study["size"]["students"].items():
        alone, taught = (student["by_teacher"][how] for how in ("alone", kind))
        seeds = str(alone["test"]["auroc"]["seeds"])
        scores = map("<br>".join, zip(_scores(alone), _scores(taught), strict=True))
        rows.append([f"`{name}`", f"{student['parameters']:,}", seeds, f"{WHO['alone']}<br>{WHO[kind]}", *scores])
    _, main = _main(study)
    note = (
        f"The main student is `{study['student']}`. Its specificity is "
        f"{interval(main['validation']['specificity'])} on validation films and "
        f"{interval(main['test']['specificity'])} on test films ([why](#limits))."
    )
    head = ["network", "parameters", "seeds", "", "accuracy", "AUROC", "accuracy, other frame", "AUROC, other frame"]
    return "\n".join([table(head, rows), "", note])


def _scores(figures: Results) -> list[str]:
    places = ("test", "test_reframed")
    return [interval(figures[place][metric]) for place in places for metric in ("accuracy", "auroc")]


def released(study: Results, evaluation: Results) -> str:
    """Where the released model, which is that of seed 0, lies among the seeds."""
    test, seeds = evaluation["models"]["distilled"]["test"], _main(study)[1]["by_seed"]
    places = " ".join(
        f"Its {METRICS[metric]} of {test[metric]:.3f} is {_place(test[metric], seeds[metric])} "
        f"({min(seeds[metric]):.3f} to {max(seeds[metric]):.3f})."
        for metric in ("accuracy", "auroc")
    )
    return (
        f"The released model is that of seed 0, which was fixed before any training. {places} Expect the mean of the "
        "table, not the figures of this seed."
    )


def _place(value: float, values: Sequence[float]) -> str:
    """`the lowest of 5 seeds (shared by 2 seeds)`; equal to six digits is a tie."""
    above = sum(other > value + 1e-9 for other in values)
    ties = sum(abs(other - value) <= 1e-9 for other in values) - 1
    below = len(values) - above - ties - 1
    nth = ORDINALS.get(above + 1, f"{above + 1}th")
    rank = "the highest" if not above else "the lowest" if not below else f"the {nth} highest"
    shared = f" (shared by {ties + 1} seeds)" if ties > 0 else ""
    return f"{rank} of {len(values)} seeds{shared}"


def study_answers(study: Results) -> str:
    """The study in short: sizes, labels and views, the blog post taken apart, what films reveal without a network."""
    causes = {name: cause["accuracy"] for name, cause in study["blog"]["causes"].items()}
    choice, shortcuts = study["size"]["choice"], study["shortcuts"]
    smallest = study["size"]["students"][choice["smallest"]]
    without, within = shortcuts["without_a_network"], shortcuts["auroc_within_strata"]
    return "\n".join(
        [
            _where(study, "test_reframed"),
            f"- **How small?** On validation films in the other frame, {smallest['parameters']:,} parameters are "
            "enough. This is the smallest student whose mean AUROC lies within or above the 95% interval of the best.",
            *_films(study),
            _labels(study),
            _views(study),
            "- **The blog post** reports accuracy 72% without a teacher and 86% with one. The same changes give "
            f"{_points(causes['all_of_it'])} here (one seed, threshold 0.5): first the learning rate "
            f"{_points(causes['learning_rate'])}, then distillation {_points(causes['then_distillation'])}, then the "
            f"teacher's BatchNorm in train mode {_points(causes['then_teacher_in_train_mode'])}.",
            "- **Shortcuts:** logistic regression on the box of the lungs, without pixels, has AUROC "
            f"{interval(without['boxes']['auroc'])}; on width and height of the file it has "
            f"{interval(without['geometry']['auroc'])}. Among films to which width and height give a similar "
            f"probability, that of width and height falls to {interval(within['geometry'])}; the distilled student has "
            f"{interval(within['distilled'])}.",
        ]
    )


def _films(study: Results) -> list[str]:
    """A bullet on what a teacher of lungs adds to one of films, if any student has both."""
    found = [
        f"`{name}` {signed(pairs['lungs_minus_films']['test_reframed']['auroc'])}"
        for name, pairs in study["size"]["differences"].items()
        if "lungs_minus_films" in pairs
    ]
    words = "A teacher of lungs instead of one of films changes AUROC in the other frame"
    return [f"- **Lungs or films?** {words}: {'; '.join(found)}."] if found else []


def _labels(study: Results) -> str:
    """A bullet on what a teacher and films without a label add where only a share of the patients is labelled."""
    few = {percent: each for percent, each in study["labels"]["shares"].items() if each["share"] < 1}
    parts = [
        f"with labels for {percent}% of the patients, by {signed(each['taught_minus_alone']['test_reframed']['auroc'])}"
        for percent, each in few.items()
    ]
    return f"- **Few labels:** a teacher and films without a label change AUROC in the other frame, {'; '.join(parts)}."


def _views(study: Results) -> str:
    gain = {key: study["regime"][key]["taught_minus_alone"]["test_reframed"]["auroc"] for key in ("no_views", "views")}
    alone = study["regime"]["views_minus_no_views"]["alone"]["test_reframed"]["auroc"]
    return (
        f"- **Views:** without them, as in the blog post, a teacher changes AUROC in the other frame by "
        f"{signed(gain['no_views'])}; with them by {signed(gain['views'])}. Views change the student alone by "
        f"{signed(alone)} ({study['regime']['views']['alone']['test']['auroc']['seeds']} seeds)."
    )


def _points(difference: Results) -> str:
    """`+6.6 points [+4.2, +9.3]` of a difference of two shares."""
    middle, low, high = (f"{100 * difference[key]:+.1f}" for key in ("value", "low", "high"))
    return f"{middle} points [{low}, {high}]"


def at_site(study: Results) -> str:
    """What films of one's own add: the release as it is, and students from random weights and from it."""
    site, starts = study["site"], {"nothing": "random weights", "release": "the release"}
    columns = (("held_out", "auroc"), ("held_out", "accuracy"), ("held_out_reframed", "auroc"))
    rows = [["none", "the release as it is", *(interval(site["release"][place][metric]) for place, metric in columns)]]
    for each in site["sizes"].values():
        for start, words in starts.items():
            cells = [interval(each[start][place][metric]) for place, metric in columns]
            rows.append([f"{each['films']:,}", f"trained from {words}", *cells])
    head = ["films", "student", "AUROC", "accuracy", "AUROC, other frame"]
    seeds = next(iter(site["sizes"].values()))["release"]["held_out"]["auroc"]["seeds"]
    changes = {
        "release_minus_nothing": "trained from the release, against random weights",
        "trained_minus_release": "trained from the release, against the release as it is",
    }
    said = [[words, *(_by_films(site, key, *column) for column in columns)] for key, words in changes.items()]
    note = (
        f"Measured on {site['held_out']['films']:,} films of {site['held_out']['patients']:,} patients that took no "
        f"part in the training; threshold 0.5, means over {seeds} seeds with 95% intervals. What the intervals of the "
        "paired differences say:"
    )
    return "\n".join([table(head, rows), "", note, "", table(["", *head[2:]], said)])


def _by_films(site: Results, key: str, place: str, metric: str) -> str:
    """`higher with 50 and 100 films; no measurable change with 200 films`."""
    found: dict[str, list[str]] = {"higher": [], "**lower**": [], "no measurable change": []}
    for each in site["sizes"].values():
        word = verdict(each[key][place][metric], better="higher", worse="**lower**", neither="no measurable change")
        found[word].append(f"{each['films']:,}")
    return "; ".join(f"{word} with {_listed(films)} films" for word, films in found.items() if films)


def _listed(words: Sequence[str]) -> str:
    """`50, 100 and 200`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def reads(evaluation: Results) -> str:
    """AUROC on validation films as they are and changed: what the networks of the pipeline read."""
    changes = {
        "reframed": "other frame",
        "mean_frame": "mean frame",
        "lungs_greyed": "lungs greyed out",
        "lungs_only": "lungs only",
    }
    rows = []
    for name in ("teacher", "baseline", "distilled"):
        figures = evaluation["models"][name]["validation"]
        cells = [
            interval(figures["frames"][change]["auroc"]) if change in figures["frames"] else "" for change in changes
        ]
        share = f"{figures['activation_in_lungs']:.0%}" if "activation_in_lungs" in figures else ""
        rows.append([name, interval({"value": figures["auroc"], **figures["ci95"]["auroc"]}), *cells, share])
    head = ["network", "film as it is", *changes.values(), "evidence within the lung box"]
    spread = evaluation["comparison"]["box_share"]["validation"]
    found, missing = evaluation["lungs"], sum(evaluation["lungs"]["without_a_published_box"].values())
    note = (
        f"The lung finder has {found['parameters']:,} parameters. On {found['validation']['n']} validation films its "
        f"boxes overlap with the published ones at a mean IoU (intersection over union) of "
        f"{found['validation']['mean_iou']:.3f}; on the worst twentieth of the films it is "
        f"{found['validation']['mean_iou_of_worst_twentieth']:.3f}. Of all films, {missing} need it. The last column "
        "is the share of the evidence for pneumonia in the activation map that lies within the box of the lungs; "
        f"evidence that is spread evenly over the film would give {spread:.0%}."
    )
    return "\n".join([table(head, rows), "", note])
