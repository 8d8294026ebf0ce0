"""The study in words and tables: a short Markdown report, and a page with every picture that opens offline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.figure import Figure

from cxr_distill.evaluation.figures import svg
from cxr_distill.study import plots

Figures = Mapping[str, Any]
METRICS = ("accuracy", "auroc", "sensitivity", "specificity")


@dataclass(frozen=True)
class Section:
    """A heading and what follows it.

    For the page alone are every `picture`, all of a section of `details`, and the table of one that is `long`.
    """

    title: str
    text: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    details: bool = False
    long: bool = False
    picture: Callable[..., Figure] | None = None
    caption: str = ""
    points: Sequence[str] = ()
    end: str = ""  # HTML


def study_markdown(figures: Figures, dataset: Figures, *, synthetic: bool) -> str:
    """The short report."""
    lines = [_title(synthetic), ""]
    for section in _sections(figures, dataset, synthetic=synthetic):
        if section.details:
            continue
        lines += [f"## {section.title}", ""]
        for paragraph in section.text:
            lines += [paragraph, ""]
        if section.points:
            lines += [*(f"- {point}" for point in section.points), ""]
        if section.long:
            lines += ["[The page](study.html) has the figures.", ""]
        elif section.rows:
            lines += [_line(section.columns), "|" + "---|" * len(section.columns), *map(_line, section.rows), ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


STYLE = """
:root { color-scheme: light dark; --line: #ccc; --soft: #f4f4f4; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #222; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: left; white-space: nowrap; }
th { background: var(--soft); }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; background: #fff; border: 1px solid var(--line); border-radius: 4px; }
figcaption { font-size: 0.85rem; }
"""


def study_page(figures: Figures, dataset: Figures, *, synthetic: bool) -> str:
    """The whole report as one HTML file: pictures embedded, nothing fetched; light and dark."""
    title = _title(synthetic).lstrip("# ")
    parts = [f"<h1>{escape(title)}</h1>"]
    for section in _sections(figures, dataset, synthetic=synthetic):
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [f"<p>{escape(paragraph)}</p>" for paragraph in section.text]
        if section.points:
            parts.append("<ul>" + "".join(f"<li>{escape(point)}</li>" for point in section.points) + "</ul>")
        if section.picture:
            parts.append(_embedded(section, figures, synthetic=synthetic))
        if section.rows:
            head = "".join(f"<th>{escape(cell)}</th>" for cell in section.columns)
            body = "".join(
                "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        parts.append(section.end)
    content = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{content}\n</body>\n</html>\n"
    )


def _embedded(section: Section, figures: Figures, *, synthetic: bool) -> str:
    assert section.picture is not None
    drawn = b64encode(svg(section.picture(figures, synthetic=synthetic))).decode()
    caption = escape(section.caption)
    image = f'<img alt="{caption}" src="data:image/svg+xml;base64,{drawn}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _maps() -> str:
    # Images of patients stay out of Git, and so out of this file.
    caption = (
        "Test images by outcome of the distilled student, and where each network finds evidence for pneumonia "
        "(bright). "
        "The picture holds images of patients and is not in Git: dvc pull or dvc repro study/dvc.yaml puts it at "
        "study/maps.png."
    )
    return f'<figure><img alt="{caption}" src="../study/maps.png"><figcaption>{caption}</figcaption></figure>'


def _title(synthetic: bool) -> str:
    return "# SYNTHETIC: the study on drawn chests" if synthetic else "# What distillation gives: the study"


def _sections(figures: Figures, dataset: Figures, *, synthetic: bool) -> list[Section]:
    return [
        Section("In short", points=_in_short(figures, synthetic=synthetic)),
        Section("Where this is from", text=[_source(figures, dataset, synthetic=synthetic)]),
        *_students(figures),
        _grid(figures, dataset),
        _blog(figures),
        _ablation(figures),
        *_honesty(figures),
        Section("Limits", points=LIMITS),
    ]


def _source(figures: Figures, dataset: Figures, *, synthetic: bool) -> str:
    source = "Drawn phantoms: the figures say nothing about pneumonia." if synthetic else "Archive"
    side = dataset["image_size"]
    return (
        f"{source} `{dataset['archive_sha256'][:12]}`, images of {side} x {side} pixels. n = {figures['n']} "
        f"test images of {figures['patients']} patients; threshold 0.5 unless said otherwise. In brackets 95% "
        "intervals from resampling whole patients, and seeds too where a student has several (hierarchical bootstrap); "
        "differences are paired in both."
    )


def _cell(figures: Figures, *, digits: int = 3) -> str:
    centre = figures["mean"] if "mean" in figures else figures["value"]
    spread = f" ± {figures['sd']:.{digits}f}" if "sd" in figures else ""
    return f"{centre:.{digits}f}{spread} [{figures['low']:.{digits}f}, {figures['high']:.{digits}f}]"


def _change(figures: Figures) -> str:
    return f"{figures['value']:+.3f} [{figures['low']:+.3f}, {figures['high']:+.3f}]"


def _verdict(figures: Figures) -> str:
    if figures["low"] > 0:
        return "higher"
    return "lower" if figures["high"] < 0 else "not told apart"


def _in_short(figures: Figures, *, synthetic: bool) -> list[str]:
    students, sentences = figures["students"], []
    best = max(students, key=lambda name: students[name]["validation"]["auroc"]["mean"])
    sentences.append(
        f"{'SYNTHETIC figures. ' if synthetic else ''}The student with the best AUROC on validation, {best} "
        f"({students[best]['parameters']:,} parameters), has accuracy {_cell(students[best]['accuracy'])} and AUROC "
        f"{_cell(students[best]['auroc'])} on test (mean ± standard deviation over "
        f"{students[best]['accuracy']['seeds']} seeds); the teacher {_cell(figures['teacher']['accuracy'])} and "
        f"{_cell(figures['teacher']['auroc'])}."
    )
    for arch, differences in figures["differences"].items():
        for what, words in (
            ("distilled_minus_baseline", "distilled against the equally tuned baseline"),
            ("distilled_minus_teacher", "distilled against the teacher"),
        ):
            told = [
                f"{plots.NAMES[metric]} {_change(differences[what][metric])} ({_verdict(differences[what][metric])})"
                for metric in ("accuracy", "auroc")
            ]
            sentences.append(f"The {arch} student, {words}: {', '.join(told)}.")
    sentences += _what_helps(figures["ablation"])
    sentences += _blog_in_short(figures["blog"]["causes"])
    if off := figures["grid"].get("measured_alpha_off"):
        sentences.append(
            "The blog's table is skewed by its loss: the alpha at which Hinton's loss leaves a student as far from the "
            f"teacher differs from the predicted effective alpha by {_cell(off['predicted'], digits=2)} on average, "
            f"from the alpha in the table's margin by {_cell(off['nominal'], digits=2)} (interval over points)."
        )
    shortcuts = figures["shortcuts"]
    within = shortcuts["auroc_within_strata"]
    sentences.append(
        f"Width and height of the file alone, no pixels, reach accuracy {_cell(shortcuts['geometry']['accuracy'])} and "
        f"AUROC {_cell(shortcuts['geometry']['auroc'])}; among images of like geometry they have "
        f"{_cell(within['geometry'])}, {best} {_cell(within[best])}."
    )
    return sentences


def _what_helps(steps: Figures) -> list[str]:
    told = {name: each["step"] for name, each in steps.items() if "step" in each and each["step"]["auroc"]["low"] > 0}
    if not told:
        return []
    ranked = sorted(told, key=lambda name: -told[name]["auroc"]["value"])
    parts = [
        f"{plots.step_name(name)} {_change(told[name]['auroc'])} (accuracy {_change(told[name]['accuracy'])})"
        for name in ranked
    ]
    return [
        "What helps, from the blog's recipe to ours one change at a time (short schedules, one seed a step), "
        f"every step that told in AUROC, the largest first: {'; '.join(parts)}."
    ]


def _blog_in_short(causes: Figures) -> list[str]:
    if "all_of_it" not in causes:
        return []
    parts = [
        f"{words} {_change(causes[cause]['accuracy'])}"
        for cause, words in (
            ("learning_rate", "the learning rate"),
            ("then_distillation", "then distillation"),
            ("then_teacher_in_train_mode", "then the teacher's BatchNorm in train mode"),
        )
        if cause in causes
    ]
    of_which = f", of which {', '.join(parts)}" if parts else ""
    alone = causes.get("operating_point_alone")
    moved = (
        f"; moving the threshold of the first to the prevalence, alone, {_change(alone['accuracy'])}" if alone else ""
    )
    single = {cause: causes[cause]["accuracy"] for cause in SINGLE_CAUSES if cause in causes}
    largest = max(single, key=lambda cause: abs(single[cause]["value"]), default="")
    return [
        "The blog's 72% to 86%, taken apart: from its plain student to its distilled one accuracy changes by "
        f"{_change(causes['all_of_it']['accuracy'])} here{of_which}{moved}."
        + (f" The largest on its own: {SINGLE_CAUSES[largest]}, {_change(single[largest])}." if single else "")
    ]


SINGLE_CAUSES = {
    "learning_rate": "the learning rate",
    "operating_point_alone": "the operating point",
    "distillation_alone": "distillation",
    "teacher_in_train_mode_at_low_rate": "the teacher's mode",
}


def _students(figures: Figures) -> list[Section]:
    students = figures["students"]
    rows = [
        [name, f"{each['parameters']:,}", str(each["accuracy"]["seeds"]), *(_cell(each[m]) for m in METRICS)]
        for name, each in students.items()
    ]
    rows.append(
        ["teacher", f"{figures['teacher']['parameters']:,}", "1", *(_cell(figures["teacher"][m]) for m in METRICS)]
    )
    columns = ["student", "parameters", "seeds", *(plots.NAMES[m] for m in METRICS)]
    paired = [
        [arch, what.replace("_", " "), *(_change(each[m]) for m in METRICS)]
        for arch, all_of in figures["differences"].items()
        for what, each in all_of.items()
    ]
    validation = [[name, *(_cell(each["validation"][m]) for m in METRICS)] for name, each in students.items()]
    names = [plots.NAMES[m] for m in METRICS]
    return [
        Section(
            "Seeds",
            ["Full schedule, test, mean ± standard deviation over seeds [95% interval over seeds and patients]."],
            columns, rows, picture=plots.seeds_figure,
            caption="Dots: seeds. Blue: baseline, orange: distilled, black: the teacher, one network.",
        ),
        Section(
            "Does distillation help?", ["Paired by seed and by patient."],
            ["student", "difference", *names], paired, picture=plots.differences_figure,
            caption="Right of the line: the first of the two is better.",
        ),
        Section(
            "Validation", ["The same students on validation patients."], ["student", *names], validation, details=True
        ),
    ]  # fmt: skip


def _grid(figures: Figures, dataset: Figures) -> Section:
    rows = []
    for name, point in figures["grid"]["points"].items():
        measured = point.get("measured_alpha")
        rows.append(
            [
                name, str(point["seeds"]), _cell(point["validation_log_loss"]),
                "yes" if point["within_noise_of_the_best"] else "no", _cell(point["test"]["accuracy"]),
                _cell(point["test"]["auroc"]),
                f"{point['effective_alpha']:.3f}" if "effective_alpha" in point else "",
                _cell(measured, digits=2) if measured else "",
                f"{point['kl_gradient_share']:.3f}" if "kl_gradient_share" in point else "",
            ]
        )  # fmt: skip
    text = [
        "Screening: short schedules, two classes for both losses so that they compare with the blog; it ranks, and no "
        "figure of it is a result. The blog's loss has no T² and averages KL over classes too, so that its (alpha, T) "
        "weighs like Hinton's at effective alpha w / (1 - alpha + w), w = alpha / (2 T²). Measured alpha: where "
        "Hinton's loss at the same T leaves a student as far from the teacher on validation. "
        f"Best on validation: {figures['grid']['best_on_validation']}.",
    ]
    return Section(
        "Alpha and temperature", text,
        ["point", "seeds", "validation log-loss", "within noise of the best", "test accuracy", "test AUROC",
         "effective alpha", "measured alpha", "teacher's share of the first gradient"],
        rows, long=True, picture=plots.grid_figure,
        caption="Left and middle: Hinton's loss above, the blog's below. Right: effective alpha of the blog's points "
        "as predicted and as measured, and test accuracy of all points against it.",
    )  # fmt: skip


def _blog(figures: Figures) -> Section:
    rows = []
    for name, each in figures["blog"]["cells"].items():
        for point, words in (("at_half", "0.5"), ("prevalence_matched", "as many called as have it")):
            rows.append([name.replace("_", " "), words, *(_cell(each[point][m]) for m in METRICS)])
    rows += [
        [f"change: {cause.replace('_', ' ')}", "", *(_change(each[m]) for m in METRICS)]
        for cause, each in figures["blog"]["causes"].items()
    ]
    text = [
        "The blog's student (three convolutions, two classes, no views, no balancing) at the learning rates of its "
        "plain and its distilled code, alone and distilled at its best setting, the teacher's BatchNorm as it should "
        "be (eval) and as its code leaves it (train). One seed each: intervals are over patients alone. Optimiser, "
        "schedule and which epoch is kept are ours, since the blog does not show its own."
    ]
    return Section(
        "The blog taken apart", text, ["network or change", "threshold", *(plots.NAMES[m] for m in METRICS)], rows,
        picture=plots.blog_figure, caption="Each row changes one thing; right of the line it helps.",
    )  # fmt: skip


def _ablation(figures: Figures) -> Section:
    rows = [
        [
            plots.step_name(name), _cell(each["validation_log_loss"]), *(_cell(each["test"][m]) for m in METRICS),
            _change(each["step"]["accuracy"]) if "step" in each else "",
            _change(each["step"]["auroc"]) if "step" in each else "",
        ]
        for name, each in figures["ablation"].items()
    ]  # fmt: skip
    return Section(
        "From the blog's recipe to ours",
        ["Each line keeps what the lines above changed. Short schedules, one seed each, but for the last line; "
         "validation log-loss counts normal and pneumonia alike. Without class balance an epoch has more steps."],
        ["step", "validation log-loss", *(plots.NAMES[m] for m in METRICS), "change of accuracy", "change of AUROC"],
        rows, picture=plots.ablation_figure, caption="Top: the blog's recipe. Bottom: ours.",
    )  # fmt: skip


def _honesty(figures: Figures) -> list[Section]:
    shortcuts = figures["shortcuts"]
    named = {"geometry": "width and height", "thumbnail": "thumbnail", "gradients": "oriented gradients"}
    within = shortcuts["auroc_within_strata"]
    rows = [
        [words, _cell(shortcuts[key]["accuracy"]), _cell(shortcuts[key]["auroc"]), _cell(within[key])]
        for key, words in named.items()
    ]
    for name in ("teacher", *figures["students"]):
        each = figures["teacher"] if name == "teacher" else figures["students"][name]
        rows.append([name, _cell(each["accuracy"]), _cell(each["auroc"]), _cell(within[name])])
    calibration = [
        [
            name,
            f"{each['temperature']:.2f}",
            *(_cell(each[s][m]) for m in ("ece", "brier") for s in ("before", "after")),
        ]
        for name, each in figures["calibration"].items()
    ]
    operating = [
        [name, f"{each['threshold']:.3f}", _cell(each["sensitivity"]), _cell(each["specificity"])]
        for name, each in figures["operating_points"].items()
    ]
    kinds = [[name, _cell(each["bacterial"]), _cell(each["viral"])] for name, each in figures["subtypes"].items()]
    share = f"{figures['sensitivity_target']:.0%}"
    originals = [
        [split, str(each["n"]), model, pair.replace("_", " "), _cell(values["mean_absolute_change"]),
         _change(values["mean_change"]), _cell(values["decisions_changed"])]
        for split, each in figures["originals"].items()
        for model in ("teacher", "baseline", "distilled")
        for pair, values in each[model].items()
    ]  # fmt: skip
    maps = [
        [pair, case, str(each["n"]), _cell(each["iou"]), _cell(each["iou_by_chance"]), _cell(each["correlation"])]
        for pair, cases in figures["maps"].items()
        for case, each in cases.items()
    ]
    return [
        Section(
            "Without a network",
            ["Logistic regression on width and height of the original files (fitted on "
             f"{shortcuts['fitted_on']} train and validation images whose size is known), on thumbnails and on "
             "histograms of oriented gradients; last column: pairs within "
             f"{shortcuts['strata']} strata of like geometry only."],
            ["model", "accuracy", "AUROC", "AUROC within strata"], rows, picture=plots.shortcuts_figure,
            caption="What remains of a model where image geometry tells little.",
        ),
        Section(
            "Operating points", [f"Threshold for {share} sensitivity on validation, and what it gives on test."],
            ["model", "threshold", "sensitivity", "specificity"], operating, picture=plots.operating_figure,
            caption="Blue: threshold 0.5. Orange: threshold chosen on validation.",
        ),
        Section("By kind of pneumonia", ["Sensitivity at 0.5."], ["model", "bacterial", "viral"], kinds),
        Section(
            "Calibration", ["On test; the temperature is fitted on validation."],
            ["model", "temperature", "ECE", "ECE scaled", "Brier", "Brier scaled"], calibration,
            picture=plots.reliability_figure,
            caption="On the diagonal, a probability means what it says. All seeds pooled.",
        ),
        Section(
            "Originals and copies",
            ["P(pneumonia) from an original file against its small copy, and from other ways to make a film square; by "
             "the pipeline's split."],
            ["split", "n", "model", "pair", "mean absolute change", "mean change", "decisions changed"], originals,
            details=True,
        ),
        Section(
            "Where the networks look",
            ["Class activation maps on test: overlap of the top fifth (IoU), the same with another image's map, and "
             "rank correlation; right and wrong by the distilled student of the main run."],
            ["networks", "cases", "n", "IoU", "IoU by chance", "rank correlation"], maps, details=True,
            picture=plots.maps_figure, caption="Blue: the same image. Orange: another image's map, hence chance.",
            end=_maps(),
        ),
    ]  # fmt: skip


LIMITS = (
    "One teacher and one set of views: seeds vary a student's start and the order of its images, and nothing else.",
    "The grid, the blog's recipe and the ablation have one seed a point unless said otherwise; their intervals leave "
    "out what another seed would give.",
    "Few seeds make an interval over seeds too narrow: with five by about a tenth.",
    "Everything is one hospital's children; intervals are over its patients, not over places.",
    "Low overlap of maps does not make one wrong, and high overlap does not make both right.",
)
