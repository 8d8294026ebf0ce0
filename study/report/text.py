"""The study in words and tables: a short Markdown report, and a page with every picture that opens offline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.special import softmax

from cxr_distill.base.templates import render
from cxr_distill.evaluation.bootstrap import signed
from cxr_distill.evaluation.figures import svg
from study.report import plots
from study.results.questions import CAUSES

TEMPLATES = Path(__file__).parent / "templates"

Figures = Mapping[str, Any]
METRICS = ("accuracy", "auroc", "sensitivity", "specificity")
NAMES = [plots.NAMES[metric] for metric in METRICS]


@dataclass(frozen=True)
class Section:
    """A heading and what follows it.

    For the page alone are every picture, the slider, and all of a section of `details`. `drawn` makes the picture from
    all figures; `picture` is its address in the page. `films`: those whose probabilities follow a slider of T.
    """

    title: str
    text: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    details: bool = False
    drawn: Callable[..., Figure] | None = None
    picture: str = ""
    caption: str = ""
    films: Sequence[Figures] = ()


@dataclass(frozen=True)
class Source:
    """What the figures are of: the data set's summary, the main pipeline's evaluations by model, and the `precision`
    and `processor` that the cells were trained with."""

    dataset: Figures
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
    title = "SYNTHETIC: the study on synthetic films" if source.synthetic else "Is a teacher worth it, and how small?"
    return {"title": title, "lead": lead, "answers": answers, "limits": _limits(figures)}


def _answers(figures: Figures, source: Source) -> list[str]:
    points, in_use = figures["grid"]["points"], figures["grid"]["in_use"]
    text = render(
        TEMPLATES / "answers.j2",
        **figures,
        synthetic=source.synthetic,
        point=_point(points[figures["grid"]["best"]]),
        used=_point(points[in_use]) if in_use not in (None, figures["grid"]["best"]) else "",
        who=plots.WHO,
        figure=_cell,
        change=signed,
    )
    return [line for line in text.splitlines() if line.strip()]


def _point(point: Figures) -> str:
    loss = {"hinton": "Hinton's loss", "blog": "the blog's loss"}[point["loss"]]
    return f"{loss} at alpha {point['alpha']:g} and T {point['temperature']:g}"


def _cell(figures: Figures, *, digits: int = 3) -> str:
    centre = figures["mean"] if "mean" in figures else figures["value"]
    spread = f" ± {figures['sd']:.{digits}f}" if "sd" in figures else ""
    interval = f" [{figures['low']:.{digits}f}, {figures['high']:.{digits}f}]" if "low" in figures else ""
    return f"{centre:.{digits}f}{spread}{interval}"


def _sections(figures: Figures, source: Source) -> list[Section]:
    return [
        _temperature(figures),
        _reads(figures),
        *_size(figures),
        *_labels(figures),
        _grid(figures),
        *_tuning(figures),
        *_site(figures),
        _blog(figures),
        *_checks(figures),
        Section("Where this is from", _source(figures, source)),
    ]


SHOWN_TEMPERATURES = (1.0, 2.0, 4.0, 8.0)


def _temperature(figures: Figures) -> Section:
    films = figures["soft_targets"]
    rows = [
        [f"{each['which']} {each['class']}", *(_shares(each["logits"], t) for t in SHOWN_TEMPERATURES)]
        for each in films
    ]
    return Section(
        "What is a teacher for?",
        [
            "A label says one thing about a film: normal, bacterial or viral. A teacher says three: how probable it "
            "finds each class. A film of pneumonia that looks almost normal gets other probabilities than one that is "
            "white from top to bottom, and the student learns this difference.",
            "A sure teacher says little: nearly all its probability is on one class. Dividing its logits by a "
            "temperature T before softmax makes the other classes visible. These are the real logits of the teacher "
            "for six validation films: of each class the typical one (median probability of its own class) and a hard "
            "one (lowest twentieth).",
        ],
        ["film", *(f"T = {t:g}" for t in SHOWN_TEMPERATURES)],
        rows,
        films=films,
        caption="Probabilities of normal, bacterial and viral. Move the slider to change T.",
    )


def _shares(logits: Sequence[float], temperature: float) -> str:
    return " / ".join(f"{share:.2f}" for share in softmax([logit / temperature for logit in logits]))


def _reads(figures: Figures) -> Section:
    changes = plots.CHANGES
    rows = [
        [name, place, *(_cell(by_place[place][change]) if change in by_place[place] else "" for change in changes)]
        for name, by_place in figures["reads"].items()
        for place in ("validation", "test")
    ]
    inside = figures["share_in_lungs"]
    shares = "; ".join(f"{name} {share:.0%}" for name, share in inside.items() if name != "area")
    return Section(
        "What do the networks read?",
        [
            "In this data set normal films and films with pneumonia are framed differently: the lungs lie elsewhere. "
            f"The four numbers of the lung box alone, without pixels, have AUROC "
            f"{_cell(figures['shortcuts']['without_a_network']['boxes']['auroc'])} on test. A network that reads the "
            "frame would fail elsewhere. So the student's views exchange frames in training, and every network is "
            "scored on changed films too. A network that reads the lungs keeps its AUROC in another frame, and "
            "falls to chance (0.5) where the lungs are greyed out.",
            f"Share of the evidence for pneumonia that lies in the box of the lungs, on test: {shares}. The box fills "
            f"{inside['area']:.0%} of a film: evidence that is spread evenly would give this share.",
        ],
        ["network", "films", *changes.values()],
        rows,
        drawn=plots.reads_figure,
        caption="AUROC of the main networks, seed 0, on films as they are and on changed films. A teacher that sees "
        "lungs sees the same in every frame.",
    )


def _source(figures: Figures, source: Source) -> list[str]:
    side = source.dataset["image_size"]
    drawn = "The films are synthetic: the figures say nothing about pneumonia. " if source.synthetic else ""
    weights = ", ".join(f"{name} `{each['weights_sha256'][:12]}`" for name, each in source.models.items())
    return [
        f"{drawn}Archive `{source.dataset['archive_sha256'][:12]}`, images of {side} x {side} pixels. The test split "
        f"has {figures['n']} images of {figures['patients']} patients. The threshold is 0.5 unless another is named.",
        "Brackets hold 95% intervals from resampling whole patients, and seeds too where a student has several "
        "(hierarchical bootstrap). Differences are paired by patient and by seed.",
        "Other frame: every film is mapped so that its lungs lie where those of a film of the other class lie. A "
        "network that reads the place of the lungs instead of the lungs scores lower there. One that reads stretch "
        "scores higher: on average these maps stretch normal films in height and films with pneumonia in width.",
        f"Weights of the main models, first 12 digits of their SHA-256: {weights}. The other networks were trained "
        f"with precision {source.trained['precision']} on {source.trained['processor']}.",
    ]


TAUGHT_BY = {
    "baseline": "baseline",
    "films": "taught by a teacher that sees films as they do",
    "lungs": "taught by a teacher that sees lungs, cut out of the full-size film and enlarged",
}
"""How a student of section `size` is taught, in words."""


def _size(figures: Figures) -> list[Section]:
    students, choice = figures["size"]["students"], figures["size"]["choice"]
    scores = [
        [name, how, f"{each['parameters']:,}", _seeds(by_place), *_scores(by_place)]
        for name, each in students.items()
        for how, by_place in each["by_teacher"].items()
    ]
    scores += [
        ["teacher", kind, f"{each['parameters']:,}", "1", *_scores(each)] for kind, each in figures["teachers"].items()
    ]
    timed = any("milliseconds" in each for each in students.values())
    kinds = {how for each in students.values() for how in each["by_teacher"]}
    taught = [words for how, words in TAUGHT_BY.items() if how in kinds]
    plain = any(each["arch"] == "plain" for each in students.values())
    squares = " Squares: three convolutions, as in the blog post." if plain else ""
    columns = ["ms, single precision", "ms, int8"] if timed else []
    sizes = [
        [
            name, f"{each['parameters']:,}", *(f"{each['megabytes'][kind]:.3f}" for kind in ("fp32", "int8")),
            *_milliseconds(each, timed),
            "yes" if name in choice["good_enough"] else "no",
        ]
        for name, each in students.items()
    ]  # fmt: skip
    paired = [
        [name, pair.replace("_", " "), *_changes(each)]
        for name, pairs in figures["size"]["differences"].items()
        for pair, each in pairs.items()
    ]
    return [
        Section(
            "How small, and who teaches?",
            [f"Students {', '.join(taught)}. Mean ± standard deviation over seeds."],
            ["network", "taught by", "parameters", "seeds", *SCORES], scores, drawn=plots.size_figure,
            caption=f"AUROC over the number of parameters. Lines: residual students.{squares} The distance from "
                    "\"alone\" is what a teacher adds.",
        ),
        Section(
            "Is a teacher worth it?", ["Positive: the first of the two is better."],
            ["student", "difference", *CHANGES], paired,
        ),
        Section(
            "Which size is enough?",
            [f"Of the students taught by a teacher of {figures['taught_by']}, {choice['best']} has the best AUROC on "
             f"validation films in the other frame. A student is good enough if its mean is at least "
             f"{choice['at_least']:.3f}, the lower end of the 95% interval of {choice['best']}. The smallest of these: "
             f"{choice['smallest']}. This rule was fixed before the networks were trained.",
             "Megabytes: of files with untrained weights. The int8 file of a trained network is a little larger.",
             *(["Milliseconds: median of one film on one thread, all outputs; reports/latency.md names the processor."]
               if timed else [])],
            ["student", "parameters", "MB, single precision", "MB, int8", *columns, "good enough"],
            sizes,
        ),
    ]  # fmt: skip


def _milliseconds(student: Figures, timed: bool) -> list[str]:
    if not timed:
        return []
    return [f"{student['milliseconds'][kind]:.2f}" if "milliseconds" in student else "" for kind in ("fp32", "int8")]


SCORES = ["accuracy", "AUROC", "sensitivity", "specificity", "accuracy, other frame", "AUROC, other frame",
          "validation AUROC, other frame"]  # fmt: skip
CHANGES = ["accuracy", "AUROC", "accuracy, other frame", "AUROC, other frame", "validation accuracy, other frame",
           "validation AUROC, other frame"]  # fmt: skip


def _scores(figures: Figures) -> list[str]:
    """Cells of the columns SCORES."""
    cells = [figures["test"][metric] for metric in METRICS]
    cells += [figures["test_reframed"][metric] for metric in ("accuracy", "auroc")]
    return [_cell(each) for each in (*cells, figures["validation_reframed"]["auroc"])]


def _seeds(figures: Figures) -> str:
    return str(figures["test"]["auroc"]["seeds"])


def _changes(figures: Figures) -> list[str]:
    """Cells of the columns CHANGES."""
    places = ("test", "test_reframed", "validation_reframed")
    return [signed(figures[place][metric]) for place in places for metric in ("accuracy", "auroc")]


def _labels(figures: Figures) -> list[Section]:
    labels, regime = figures["labels"], figures["regime"]
    films = "; ".join(
        f"{percent}%: {each['films']:,} films of {each['patients']:,} patients"
        for percent, each in labels["shares"].items()
    )
    by_label = [
        [f"{percent}% of the labels", how, _seeds(each[how]), *_scores(each[how])]
        for percent, each in labels["shares"].items()
        for how in ("baseline", "distilled")
    ]
    by_view = [
        [words, how, _seeds(regime[key][how]), *_scores(regime[key][how])]
        for key, words in (("views", "views"), ("no_views", "no views"))
        for how in ("baseline", "distilled")
    ]
    gains = [
        [f"{percent}% of the labels, taught minus alone", *_changes(each["distilled_minus_baseline"])]
        for percent, each in labels["shares"].items()
    ]
    gains += [
        [f"{words}, taught minus alone", *_changes(regime[key]["distilled_minus_baseline"])]
        for key, words in (("views", "views"), ("no_views", "no views"))
    ]
    gains += [[f"{how}, views minus no views", *_changes(each)] for how, each in regime["views_minus_no_views"].items()]
    return [
        Section(
            "How many labels, and which views?",
            [f"{labels['student']} where only a share of the training patients has a label ({films}). Without a "
             "teacher, it is trained on these films only, for the same number of steps. With a teacher, it is trained "
             "on all films and learns from the teacher's answers alone (alpha 1). So the difference is that of a "
             "teacher and of films without labels. The teacher has the same labels. Sampling and film quality take the "
             "class of a film without a label from the teacher. Validation films have their labels throughout. The "
             "students with all labels are those of the sizes above: taught, they learn from labels too, at the alpha "
             "of the main student. So the last step along this curve changes two things.",
             f"{regime['student']} without views, as in the blog post: taught, it learns from the teacher's logits for "
             "whole images. The rows with views are of the same seeds."],
            ["condition", "student", "seeds", *SCORES], by_label + by_view, drawn=plots.labels_figure,
            caption="Left: the share of labels. Right: what the teacher changes; right of the line it helps.",
        ),
        Section("What a teacher changes there", [], ["difference", *CHANGES], gains),
    ]  # fmt: skip


STARTS = {"nothing": "from random weights", "release": "from the release"}
"""How a student of section `site` starts, in words."""


def _site(figures: Figures) -> list[Section]:
    site = figures["site"]
    places = ("held_out", "held_out_reframed")
    pairs = [(place, metric) for place in places for metric in ("auroc", "accuracy")]
    names = ["AUROC", "accuracy", "AUROC, other frame", "accuracy, other frame"]
    released = [_cell(site["release"][place][metric]) for place, metric in pairs]
    rows = [["0", "0", "the release as it is", *released]]
    changes = []
    for each in site["sizes"].values():
        films, patients = f"{each['films']:,}", f"{each['patients']:,}"
        for start in STARTS:
            rows.append([films, patients, STARTS[start], *(_cell(each[start][p][m]) for p, m in pairs)])
        for key, words in (("release_minus_random", "from the release minus from random weights"),
                           ("trained_minus_release", "from the release minus the release as it is")):  # fmt: skip
            changes.append([films, words, *(signed(each[key][p][m]) for p, m in pairs)])
    held_out = site["held_out"]
    return [
        Section(
            "What do films of one's own add?",
            [
                "A second hospital is made of the training and validation patients with the highest numbers. A "
                f"release is trained on {site['release_learned_from']:,} films of the other patients. The hospital has "
                "some films and trains the student of params.yaml on them: from random weights, with more epochs where "
                "there are fewer films, or from that release, with a learning rate of "
                f"{site['learning_rate']:g}. One patient in five is for validation. All are measured on "
                f"{held_out['films']:,} other films of "
                f"{held_out['patients']:,} patients of this hospital. None of them is a test film.",
            ],
            ["films", "patients", "student", *names],
            rows,
            drawn=plots.site_figure,
            caption="AUROC of the hospital's own student over the number of its films.",
        ),
        Section("What the release adds there", [], ["films", "difference", *names], changes),
    ]


def _grid(figures: Figures) -> Section:
    rows = [
        [
            f"{_point(point)}{' (in use)' * (name == figures['grid']['in_use'])}", f"{point['effective_alpha']:.3f}",
            _cell(point["log_loss"], digits=4),
            "yes" if point["within_noise_of_the_best"] else "no",
            _cell(point["validation_reframed"]["auroc"]), _cell(point["test_reframed"]["auroc"]),
        ]
        for name, point in figures["grid"]["points"].items()
    ]  # fmt: skip
    in_use = "The main student has the point in use, chosen by AUROC in an earlier run (reports/decisions.md)."
    text = [
        f"{figures['grid']['student']} taught by the main pipeline's teacher: one seed a point, full schedule. "
        f"{in_use if figures['grid']['in_use'] else ''}".strip(),
        "The blog's loss has no T² and averages the divergence over the classes too. At (alpha, T) it weighs labels "
        "and teacher as Hinton's loss does at the effective alpha w / (1 - alpha + w), with w = alpha / (3 T²).",
    ]
    return Section(
        "Alpha and temperature", text,
        ["point", "effective alpha", "validation log-loss, other frame",
         "95% interval of the gap to the best includes 0", "validation AUROC, other frame", "AUROC, other frame"],
        rows, drawn=plots.grid_figure, caption="Dark: a low loss. Both classes weigh the same.",
    )  # fmt: skip


def _tuning(figures: Figures) -> list[Section]:
    tuning = figures["tuning"]
    rows = [
        [
            words, _cell(each["log_loss"], digits=4), "yes" if each["within_noise_of_the_best"] else "no",
            _cell(each["validation_reframed"]["auroc"]), _cell(each["test_reframed"]["auroc"]),
        ]
        for words, each in tuning["settings"].items()
    ]  # fmt: skip
    paired = [
        [student, pair.replace("_", " "), *_changes(each[pair])]
        for student, each in tuning["students"].items()
        for pair in each
        if "_minus_" in pair
    ]
    return [
        Section(
            "A tuned baseline",
            [
                f"{tuning['student']} alone, with {len(tuning['settings'])} settings: one seed each, chosen by "
                "log-loss on validation films in the other frame. (Alpha and temperature were chosen by AUROC, in both "
                f"frames.) The best is: {tuning['best']}."
            ],
            ["setting", "validation log-loss, other frame", "95% interval of the gap to the best includes 0",
             "validation AUROC, other frame", "AUROC, other frame"],
            rows,
        ),
        Section(
            "Is a teacher worth it, against the tuned baseline?",
            [f"Tuned: the student alone with {tuning['chosen']}. Positive: the first of the two is better."],
            ["student", "difference", *CHANGES],
            paired,
        ),
    ]  # fmt: skip


def _blog(figures: Figures) -> Section:
    thresholds = (("at_half", "0.5"), ("prevalence_matched", "validation prevalence"))
    rows = [
        [name.replace("_", " "), words, *(_cell(each[point][m]) for m in METRICS)]
        for name, each in figures["blog"]["cells"].items()
        for point, words in thresholds
    ]
    rows += [
        [f"change: {cause.replace('_', ' ')}", _from_to(cause), *(signed(each[m]) for m in METRICS)]
        for cause, each in figures["blog"]["causes"].items()
    ]
    text = [
        f"The blog's recipe with {figures['blog']['student']}: two classes, no views and no balancing. We train it at "
        "two learning rates: that of the blog's plain student and that of its distilled one. At each rate it is "
        "trained without a teacher and with one, at the blog's best alpha and temperature. The teacher's "
        "BatchNorm is in eval mode, as it should be, or in train mode, as the blog's code leaves it.",
        "Optimiser, schedule and the kept epoch are ours, since the blog does not show its own. Each row is one seed: "
        "intervals are over patients alone. At the second threshold, the share of validation images called pneumonia "
        "equals the share that have it.",
        "Low and high are the two learning rates; eval and train are the mode of the teacher's BatchNorm. A "
        "change has its two rows in the second column; *matched* is the second threshold.",
    ]
    return Section(
        "From 72 to 86: the blog post's changes", text, ["network or change", "threshold", *NAMES], rows,
        drawn=plots.blog_figure,
        caption="The first row makes all changes; every other row but the last makes one. Right of the line a change "
                "raises the metric.",
    )  # fmt: skip


def _from_to(cause: str) -> str:
    """`low, alone -> high, train`: the two rows that a change of the blog's recipe compares."""
    return " -> ".join(f"{rate}, {how}{', matched' * (at == 'matched')}" for rate, how, at in CAUSES[cause])


def _checks(figures: Figures) -> list[Section]:
    shortcuts = figures["shortcuts"]
    named = {"geometry": "width and height", "boxes": "box of the lungs", "thumbnail": "thumbnail",
             "gradients": "oriented gradients"}  # fmt: skip
    within = shortcuts["auroc_within_strata"]
    by_teacher = figures["size"]["students"][figures["student"]]["by_teacher"]
    whole = {
        **{words: (shortcuts["without_a_network"][key], within[key]) for key, words in named.items()},
        "teacher": (figures["teachers"][figures["taught_by"]]["test"], within["teacher"]),
        "baseline": (by_teacher["baseline"]["test"], within["baseline"]),
        "distilled": (by_teacher[figures["taught_by"]]["test"], within["distilled"]),
    }
    rows = [
        [name, _cell(each["accuracy"]), _cell(each["auroc"]), _cell(strata)] for name, (each, strata) in whole.items()
    ]
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
    originals = [
        [split, str(each["n"]), model, pair.replace("_", " "), _cell(values["mean_absolute_change"]),
         signed(values["mean_change"]), _cell(values["decisions_changed"])]
        for split, each in figures["originals"].items()
        for model in each if model != "n"
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
            ["Logistic regression on width and height of the original files, on the box of the lungs, on thumbnails, "
             f"and on histograms of oriented gradients. Width and height are fitted on the {shortcuts['fitted_on']} "
             "training and validation images whose original size is known, the box of the lungs on all of them. Below: "
             "the main student over its seeds, and its teacher.",
             "The last column compares only images to which the regression on width and height gives a similar "
             f"probability, in {shortcuts['strata']} strata."],
            ["model", "accuracy", "AUROC", "AUROC within strata"], rows, drawn=plots.shortcuts_figure,
            caption="AUROC on all of test, and among images to which width and height give a similar probability.",
        ),
        Section(
            "Operating points",
            [f"The threshold gives {figures['sensitivity_target']:.0%} sensitivity on validation; the figures are of "
             "test."],
            ["model", "threshold", "sensitivity", "specificity"], operating, drawn=plots.operating_figure,
            caption="Sensitivity and specificity on test at that threshold.",
        ),
        Section("By kind of pneumonia", ["Sensitivity at 0.5."], ["model", "bacterial", "viral"], kinds),
        Section(
            "Calibration",
            ["On test; the temperature is fitted on validation, where both classes weigh the same. Test has another "
             "share of pneumonia, which adds to the error of the scaled probabilities. ECE has no interval, because "
             "resampling raises it."],
            ["model", "temperature", "ECE", "ECE scaled", "Brier", "Brier scaled"], calibration,
            drawn=plots.reliability_figure,
            caption="On the diagonal, predicted and observed shares are equal. All seeds pooled.",
        ),
        Section(
            "Originals and copies",
            ["Change of P(pneumonia) between an original file and its small copy, and between ways to make a film "
             "square, by the pipeline's split and by network that sees films."],
            ["split", "n", "model", "pair", "mean absolute change", "mean change", "decisions changed"], originals,
            details=True,
        ),
        Section(
            "Where the networks look",
            ["Class activation maps of the main networks that see films, on test. IoU: overlap of the fifth of a film "
             "with the most evidence; by chance: with the other network's map of another film. Right and wrong refer "
             "to the distilled student."],
            ["networks", "cases", "n", "IoU", "IoU by chance", "rank correlation"], maps, details=True,
        ),
    ]  # fmt: skip


def _limits(figures: Figures) -> list[str]:
    cases = sum(map(len, figures["is_a_teacher_worth_it"]["test"].values()))
    coverage = ", ".join(f"{share:.0%} with {seeds}" for seeds, share in figures["seed_coverage"].items())
    return [
        *LIMITS,
        "Few seeds make an interval over seeds too narrow. Where nothing but seeds differ, a 95% interval holds the "
        f"true mean less often, by the number of seeds: {coverage}. The part that comes from patients is not affected.",
        f'The {cases} cases of "Is a teacher worth it?" share networks. Their intervals are not corrected for their '
        "number.",
        "The size of the student and the tuned baseline were chosen in the other frame alone, which favours networks "
        "that read stretch.",
    ]


LIMITS = (
    "One teacher of each kind and one set of views: seeds vary a student's start and the order of its images, and "
    "nothing else.",
    "The grid and the blog's recipe have one seed a point: their intervals leave out the differences between seeds.",
    "The labelled patients are one draw: another draw of as many would give other figures.",
    "Alpha and temperature, and the setting of the tuned baseline, were each chosen with one seed of one student.",
    "All images are of children at one hospital: intervals are over its patients, not over hospitals.",
    "A low overlap of activation maps does not make one of them wrong, nor a high overlap both right.",
)
