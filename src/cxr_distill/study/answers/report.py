"""The study in words and tables: a short Markdown report, and a page with every picture that opens offline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cxr_distill.base.templates import render
from cxr_distill.evaluation.figures import svg
from cxr_distill.study.answers import plots

TEMPLATES = Path(__file__).parent / "templates"

Figures = Mapping[str, Any]
METRICS = ("accuracy", "auroc", "sensitivity", "specificity")
NAMES = [plots.NAMES[metric] for metric in METRICS]


@dataclass(frozen=True)
class Section:
    """A heading and what follows it.

    For the page alone are every picture, all of a section of `details`, and the table of one that is `long`. `drawn`
    makes the picture from all figures; `picture` is its address in the page.
    """

    title: str
    text: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    details: bool = False
    long: bool = False
    drawn: Callable[..., Figure] | None = None
    picture: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Source:
    """What the figures are of: the data set's summary, the main student's architecture, the models' evaluations by
    name, and the `precision` and `processor` that the cells were trained with."""

    dataset: Figures
    arch: str
    models: Mapping[str, Figures]
    trained: Mapping[str, str]
    synthetic: bool


def study_markdown(figures: Figures, source: Source) -> str:
    """The short report."""
    return render(TEMPLATES / "study.md.j2", sections=_sections(figures, source), **_words(figures, source))


def study_page(figures: Figures, source: Source) -> str:
    """The whole report as one HTML file: pictures embedded, nothing fetched; light and dark."""
    sections = [
        replace(each, picture=_address(each.drawn(figures, synthetic=source.synthetic))) if each.drawn else each
        for each in _sections(figures, source)
    ]
    return render(TEMPLATES / "study.html.j2", sections=sections, **_words(figures, source))


def _address(figure: Figure) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg(figure)).decode()}"


def _words(figures: Figures, source: Source) -> dict[str, Any]:
    lead, *answers = _answers(figures, source)
    title = "SYNTHETIC: the study on drawn chests" if source.synthetic else "What distillation gives: the study"
    return {"title": title, "lead": lead, "answers": answers, "limits": LIMITS}


def _answers(figures: Figures, source: Source) -> list[str]:
    steps = {name: each["step"] for name, each in figures["ablation"].items() if "step" in each}
    ranked = sorted(steps.items(), key=lambda each: -abs(each[1]["auroc"]["value"]))
    causes = figures["blog"]["causes"]
    single = [(words, causes[cause]["accuracy"]) for cause, words in SINGLE_CAUSES.items() if cause in causes]
    text = render(
        TEMPLATES / "answers.j2",
        **figures,
        arch=source.arch,
        synthetic=source.synthetic,
        helped=[each for each in ranked if each[1]["auroc"]["low"] > 0],
        hurt=[each for each in ranked if each[1]["auroc"]["high"] < 0],
        undecided=[plots.step_name(name) for name, each in ranked if _includes_zero(each["auroc"])],
        causes=causes,
        parts=PARTS.items(),
        single=max(single, key=lambda each: abs(each[1]["value"]), default=None),
        step_name=plots.step_name,
        figure=_cell,
        change=_change,
    )
    return [line for line in text.splitlines() if line.strip()]


PARTS = {
    "learning_rate": "The learning rate gives",
    "then_distillation": "Distillation, on top of the learning rate, gives",
    "then_teacher_in_train_mode": "The teacher's BatchNorm in train mode, on top of both, gives",
}
SINGLE_CAUSES = {
    "learning_rate": "the learning rate",
    "operating_point_alone": "the operating point",
    "distillation_alone": "distillation",
    "teacher_in_train_mode_at_low_rate": "the teacher's mode",
}


def _includes_zero(figures: Figures) -> bool:
    return bool(figures["low"] <= 0 <= figures["high"])


def _cell(figures: Figures, *, digits: int = 3) -> str:
    centre = figures["mean"] if "mean" in figures else figures["value"]
    spread = f" ± {figures['sd']:.{digits}f}" if "sd" in figures else ""
    return f"{centre:.{digits}f}{spread} [{figures['low']:.{digits}f}, {figures['high']:.{digits}f}]"


def _change(figures: Figures) -> str:
    value, low, high = (round(figures[key], 3) + 0.0 for key in ("value", "low", "high"))  # no negative zero
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _sections(figures: Figures, source: Source) -> list[Section]:
    return [
        Section("Where this is from", _source(figures, source)),
        *_students(figures),
        _grid(figures),
        _blog(figures),
        _ablation(figures),
        *_honesty(figures),
    ]


def _source(figures: Figures, source: Source) -> list[str]:
    side = source.dataset["image_size"]
    drawn = "The chests are drawn: the figures say nothing about pneumonia. " if source.synthetic else ""
    weights = ", ".join(f"{name} `{each['weights_sha256'][:12]}`" for name, each in source.models.items())
    return [
        f"{drawn}Archive `{source.dataset['archive_sha256'][:12]}`, images of {side} x {side} pixels. The test split "
        f"has {figures['n']} images of {figures['patients']} patients. The threshold is 0.5 unless another is named.",
        "Brackets hold 95% intervals from resampling whole patients, and seeds too where a student has several "
        "(hierarchical bootstrap). Differences are paired by patient and by seed.",
        f"Weights of the main models, first 12 digits of their SHA-256: {weights}. The other students were trained "
        f"with precision {source.trained['precision']} on {source.trained['processor']}.",
    ]


def _students(figures: Figures) -> list[Section]:
    students, teacher = figures["students"], figures["teacher"]
    rows = [
        [name, f"{each['parameters']:,}", str(each["accuracy"]["seeds"]), *(_cell(each[m]) for m in METRICS)]
        for name, each in students.items()
    ]
    rows.append(["teacher", f"{teacher['parameters']:,}", "1", *(_cell(teacher[m]) for m in METRICS)])
    paired = [
        [arch, what.replace("_", " "), *(_change(each[m]) for m in METRICS)]
        for arch, all_of in figures["differences"].items()
        for what, each in all_of.items()
    ]
    validation = [[name, *(_cell(each["validation"][m]) for m in METRICS)] for name, each in students.items()]
    return [
        Section(
            "Seeds",
            ["Full schedule, test: mean ± standard deviation over seeds [95% interval over seeds and patients]."],
            ["student", "parameters", "seeds", *NAMES], rows, drawn=plots.seeds_figure,
            caption="Dots: seeds. Blue: baseline, orange: distilled, black: the teacher, one network.",
        ),
        Section(
            "Does distillation help?", ["Paired by seed and by patient."],
            ["student", "difference", *NAMES], paired, drawn=plots.differences_figure,
            caption="Right of the line: the first of the two is better.",
        ),
        Section(
            "Validation", ["The same students on validation patients."], ["student", *NAMES], validation, details=True
        ),
    ]  # fmt: skip


def _grid(figures: Figures) -> Section:
    rows = [
        [
            name, _cell(point["validation_log_loss"]), "yes" if point["within_noise_of_the_best"] else "no",
            _cell(point["test"]["accuracy"]), _cell(point["test"]["auroc"]), f"{point['effective_alpha']:.3f}",
        ]
        for name, point in figures["grid"]["points"].items()
    ]  # fmt: skip
    text = [
        "The blog's table of alpha and temperature, for its loss and for Hinton's: one student a point, short "
        "schedules, two classes. It ranks settings; no figure of it is a result.",
        "The blog's loss has no T² and averages the divergence over the classes too. At (alpha, T) it weighs labels "
        "and teacher as Hinton's loss does at the effective alpha w / (1 - alpha + w), with w = alpha / (2 T²).",
        f"Best on validation: {figures['grid']['best_on_validation']}.",
    ]
    return Section(
        "Alpha and temperature", text,
        ["point", "validation log-loss", "95% interval of the gap to the best includes 0", "test accuracy",
         "test AUROC", "effective alpha"],
        rows, long=True, drawn=plots.grid_figure,
        caption="Left and middle: Hinton's loss above, the blog's below. Right: test accuracy by effective alpha.",
    )  # fmt: skip


def _blog(figures: Figures) -> Section:
    thresholds = (("at_half", "0.5"), ("prevalence_matched", "validation prevalence"))
    rows = [
        [name.replace("_", " "), words, *(_cell(each[point][m]) for m in METRICS)]
        for name, each in figures["blog"]["cells"].items()
        for point, words in thresholds
    ]
    rows += [
        [f"change: {cause.replace('_', ' ')}", "", *(_change(each[m]) for m in METRICS)]
        for cause, each in figures["blog"]["causes"].items()
    ]
    text = [
        "The blog's student has three convolutions, two classes, no views and no balancing. It is trained at the "
        "learning rates of the blog's plain and of its distilled code, alone and with a teacher at the blog's best "
        "setting. The teacher's BatchNorm is in eval mode, as it should be, or in train mode, as the blog's code "
        "leaves it.",
        "Optimiser, schedule and the kept epoch are ours, since the blog does not show its own. Each row is one seed: "
        "intervals are over patients alone. The second threshold calls as many validation images pneumonia as have it.",
    ]
    return Section(
        "The blog taken apart", text, ["network or change", "threshold", *NAMES], rows,
        drawn=plots.blog_figure, caption="Each row changes one thing; right of the line it raises the metric.",
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
        ["Each line keeps the changes of the lines above it. Schedules are short and each line is one seed, except the "
         "last. The validation log-loss weighs both classes equally. Without class balance an epoch has more steps."],
        ["step", "validation log-loss", *NAMES, "change of accuracy", "change of AUROC"],
        rows, drawn=plots.ablation_figure, caption="Top: the blog's recipe. Bottom: ours.",
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
            ["Logistic regression on width and height of the original files, on thumbnails, and on histograms of "
             f"oriented gradients. The size of {shortcuts['fitted_on']} train and validation images is known.",
             f"The last column compares images of similar width and height only, in {shortcuts['strata']} strata."],
            ["model", "accuracy", "AUROC", "AUROC within strata"], rows, drawn=plots.shortcuts_figure,
            caption="AUROC on all of test, and among images of similar width and height.",
        ),
        Section(
            "Operating points", [f"The threshold gives {share} sensitivity on validation; the figures are of test."],
            ["model", "threshold", "sensitivity", "specificity"], operating, drawn=plots.operating_figure,
            caption="Blue: threshold 0.5. Orange: threshold chosen on validation.",
        ),
        Section("By kind of pneumonia", ["Sensitivity at 0.5."], ["model", "bacterial", "viral"], kinds),
        Section(
            "Calibration", ["On test; the temperature is fitted on validation."],
            ["model", "temperature", "ECE", "ECE scaled", "Brier", "Brier scaled"], calibration,
            drawn=plots.reliability_figure,
            caption="On the diagonal, predicted and observed shares are equal. All seeds pooled.",
        ),
        Section(
            "Originals and copies",
            ["Change of P(pneumonia) between an original file and its small copy, and between ways to make a film "
             "square, by the pipeline's split."],
            ["split", "n", "model", "pair", "mean absolute change", "mean change", "decisions changed"], originals,
            details=True,
        ),
        Section(
            "Where the networks look",
            ["Class activation maps of the three main models on test. IoU: overlap of the fifth of an image with the "
             "most evidence; by chance: with the other network's map of another image. Right and wrong refer to the "
             "distilled student."],
            ["networks", "cases", "n", "IoU", "IoU by chance", "rank correlation"], maps, details=True,
            drawn=plots.maps_figure, caption="Blue: the same image. Orange: another image's map, hence chance.",
        ),
    ]  # fmt: skip


LIMITS = (
    "One teacher and one set of views: seeds vary a student's start and the order of its images, and nothing else.",
    "The grid, the blog's recipe and the ablation have one seed a point: their intervals leave out the differences "
    "between seeds.",
    "Few seeds make an interval over seeds too narrow: with five by about a tenth, with three by nearly a fifth.",
    "All images are of children at one hospital: intervals are over its patients, not over hospitals.",
    "A low overlap of maps does not make one of them wrong, and a high overlap does not make both right.",
)
