"""metrics/study.json: from every network's predictions to the study's answers, each with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation import metrics
from cxr_distill.evaluation.bootstrap import Estimate, Floats, mean_by_patient, patient_resamples, rounded
from cxr_distill.evaluation.calibration import fit_temperature
from cxr_distill.evaluation.metrics import Scored, calibration_error, estimate
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.study.params import AloneCell, StudyParams, TaughtCell
from cxr_distill.study.statistics import (
    auroc_within,
    balanced_log_loss,
    behaves_like,
    brier,
    called_share,
    distances_to_teacher,
    effective_alpha,
    over_seeds,
    same_images,
    scaled,
    seed_picks,
    strata_of,
    threshold_for_prevalence,
)  # fmt: skip

KINDS = ("baseline", "distilled")
PNEUMONIAS = ("bacterial", "viral")

Point = tuple[str, float, float]
"""Loss, alpha and temperature."""

ALONE: Point = ("alone", 0.0, 0.0)
ALPHA_RESAMPLES = 200  # of patients, for the interval of a measured alpha

Figures = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """One trained network's predictions, and the cell of the study that it is (None: of the main pipeline).

    val_logits: (N, K) float on the validation images, in the order of `val`.
    """

    val: Scored
    test: Scored
    val_logits: Floats
    cell: AloneCell | TaughtCell | None = None
    parameters: int = 0
    kl_gradient_share: float = 0.0

    @property
    def distill(self) -> DistillParams | None:
        """How it was taught, if it was."""
        return self.cell.distill if isinstance(self.cell, TaughtCell) else None


def network_of(index: pd.DataFrame, logits: Mapping[str, NDArray[Any]], cell: AloneCell | TaughtCell) -> Network:
    """A network of the study from its file of logits. Raises CxrError if they are of other images than `index`."""
    scored = {}
    for split in ("val", "test"):
        rows = index[index["split"] == split]
        if len(rows) != len(logits[split]) or not np.isfinite(logits[split]).all():
            raise CxrError(f"study/cells holds logits that do not fit data/index.csv ({split}); run `dvc repro`")
        sick = (rows["label"] == "PNEUMONIA").to_numpy(np.int64)
        scored[split] = Scored(sick, p_pneumonia(logits[split]), rows["patient"].to_numpy(str))
    share = float(logits["kl_gradient_share"][0]) if "kl_gradient_share" in logits else 0.0
    values = np.asarray(logits["val"], dtype=np.float64)
    return Network(scored["val"], scored["test"], values, cell, int(logits["parameters"][0]), share)


@dataclass(frozen=True)
class Resampling:
    """The resamples of patients that every figure shares, per split, and how often."""

    val: Floats
    test: Floats
    params: EvaluateParams

    def picks(self, seeds: int, *, split: str) -> Floats:
        """The resamples of `seeds` seeds that go with those of a split's patients."""
        return seed_picks(seeds, resamples=len(getattr(self, split)), seed=self.params.seed)


def resampling(network: Network, params: EvaluateParams) -> Resampling:
    """The resamples for the images that `network` was scored on."""
    val, test = (
        patient_resamples(s.labels, s.patients, resamples=params.bootstrap_resamples, seed=params.seed)
        for s in (network.val, network.test)
    )
    return Resampling(val, test, params)


Families = dict[str, dict[int, Network]]
"""Student (arch-kind) -> seed -> network, all at full schedule."""


def families(
    cells: Mapping[str, Network], main: Mapping[str, Network], student: StudentParams, distill: DistillParams
) -> Families:
    """The students of group `seeds`, those of the main pipeline (`main`: baseline, distilled) among them.

    Raises CxrError if they are taught otherwise than `distill`, or if a student has fewer than two seeds in both kinds.
    """
    found: Families = defaultdict(dict)
    for name, network in cells.items():
        cell = network.cell
        if cell is None or cell.group != "seeds":
            continue
        if network.distill not in (None, distill):
            raise CxrError(f"study/params.yaml: taught.{name}.distill is not `distill` of params.yaml; make them equal")
        found[f"{cell.arch}-{'distilled' if network.distill else 'baseline'}"][cell.seed] = network
    for kind in KINDS:
        like = [network.cell for network in found[f"{student.arch}-{kind}"].values() if network.cell]
        if all(cell.channels == student.channels for cell in like):
            found[f"{student.arch}-{kind}"].setdefault(student.seed, main[kind])
    paired: Families = {}
    for arch in sorted({name.split("-")[0] for name in found}):
        both = sorted(found[f"{arch}-baseline"].keys() & found[f"{arch}-distilled"].keys())
        if len(both) < 2:
            raise CxrError(f"study/params.yaml: the {arch} student needs two seeds or more, alone and taught")
        for kind in KINDS:
            paired[f"{arch}-{kind}"] = {seed: found[f"{arch}-{kind}"][seed] for seed in both}
    return paired


def students(found: Families, teacher: Network, draws: Resampling) -> tuple[Figures, Figures]:
    """Sections `students` and `differences`: every metric on test at 0.5, and paired differences."""
    figures: Figures = {}
    over: dict[str, Figures] = {}
    for name, seeds in found.items():
        networks = list(seeds.values())
        over[name] = _metrics_over_seeds([n.test for n in networks], draws, split="test")
        validation = _metrics_over_seeds([n.val for n in networks], draws, split="val")
        figures[name] = {metric: each.summary() for metric, each in over[name].items()}
        figures[name]["by_seed"] = {metric: [rounded(v) for v in each.seeds] for metric, each in over[name].items()}
        figures[name]["parameters"] = max(network.parameters for network in networks)
        figures[name]["validation"] = {metric: each.summary() for metric, each in validation.items()}
    against = metrics.estimates(teacher.test, draws.test)
    differences = {}
    for arch in sorted({name.split("-")[0] for name in found}):
        alone, taught = over[f"{arch}-baseline"], over[f"{arch}-distilled"]
        differences[arch] = {
            "distilled_minus_baseline": {m: (taught[m].draw - alone[m].draw).summary() for m in metrics.METRICS},
            "distilled_minus_teacher": {m: (taught[m].draw - against[m]).summary() for m in metrics.METRICS},
            "baseline_minus_teacher": {m: (alone[m].draw - against[m]).summary() for m in metrics.METRICS},
        }
    return figures, differences


def _metrics_over_seeds(scored: list[Scored], draws: Resampling, *, split: str) -> Figures:
    each = [metrics.estimates(one, getattr(draws, split)) for one in scored]
    picks = draws.picks(len(scored), split=split)
    return {metric: over_seeds([one[metric] for one in each], picks) for metric in metrics.METRICS}


def teacher_figures(teacher: Network, draws: Resampling) -> Figures:
    """Section `teacher`: one network, so that its intervals are over patients alone."""
    return {"parameters": teacher.parameters, **_plain(metrics.estimates(teacher.test, draws.test))}


def _plain(drawn: Mapping[str, Estimate]) -> Figures:
    return {metric: draw.summary() for metric, draw in drawn.items()}


def calibration(found: Families, teacher: Network, draws: Resampling) -> Figures:
    """ECE and Brier score on test, as they are and with the temperature that fits validation."""
    figures: Figures = {}
    for name, networks in _everyone(found, teacher).items():
        fitted = [fit_temperature(network.val.probabilities, network.val.labels) for network in networks]
        states = {
            "before": [network.test for network in networks],
            "after": [scaled(n.test, t) for n, t in zip(networks, fitted, strict=True)],
        }
        figures[name] = {"temperature": rounded(float(np.mean(fitted)))}
        for state, scored in states.items():
            figures[name][state] = {
                "ece": _over([estimate(one, draws.test, calibration_error) for one in scored], draws),
                "brier": _over([estimate(one, draws.test, brier) for one in scored], draws),
            }
        figures[name]["reliability"] = {
            state: {column: [rounded(v) for v in values] for column, values in _pooled(scored).items()}
            for state, scored in states.items()
        }
    return figures


def _everyone(found: Families, teacher: Network) -> dict[str, list[Network]]:
    return {"teacher": [teacher]} | {name: list(seeds.values()) for name, seeds in found.items()}


def _pooled(scored: list[Scored]) -> pd.DataFrame:
    together = [np.concatenate([getattr(s, f) for s in scored]) for f in ("labels", "probabilities", "patients")]
    return metrics.reliability(Scored(*together))


def _over(each: list[Estimate], draws: Resampling, *, split: str = "test") -> dict[str, float]:
    if len(each) == 1:
        return each[0].summary()
    return over_seeds(each, draws.picks(len(each), split=split)).summary()


def operating_points(found: Families, teacher: Network, draws: Resampling) -> Figures:
    """The threshold of each network that reaches the wanted sensitivity on validation, and what it gives on test."""
    figures: Figures = {}
    for name, networks in _everyone(found, teacher).items():
        thresholds = [metrics.threshold_for_sensitivity(n.val, draws.params.sensitivity_target) for n in networks]
        each = [
            metrics.estimates(network.test, draws.test, threshold=threshold)
            for network, threshold in zip(networks, thresholds, strict=True)
        ]
        figures[name] = {
            "threshold": rounded(float(np.mean(thresholds))),
            **{metric: _over([one[metric] for one in each], draws) for metric in ("sensitivity", "specificity")},
        }
    return figures


def subtypes(found: Families, teacher: Network, test_subtypes: NDArray[Any], draws: Resampling) -> Figures:
    """Sensitivity at 0.5 on test by kind of pneumonia."""
    shares = {kind: called_share(test_subtypes == kind, metrics.THRESHOLD) for kind in PNEUMONIAS}
    return {
        name: {
            kind: _over([estimate(n.test, draws.test, share) for n in networks], draws)
            for kind, share in shares.items()
        }
        for name, networks in _everyone(found, teacher).items()
    }


def shortcuts(
    table: pd.DataFrame, found: Families, teacher: Network, draws: Resampling, params: StudyParams
) -> Figures:
    """What needs no network, and every network within strata of like image geometry."""
    test = table[table["split"] == "test"]
    without = {
        name: replace(teacher.test, probabilities=test[name].to_numpy(float))
        for name in ("geometry", "thumbnail", "gradients")
    }
    strata = strata_of(without["geometry"].probabilities, strata=params.strata)
    within = auroc_within(strata)
    scored = {name: [one] for name, one in without.items()}
    scored |= {name: [n.test for n in networks] for name, networks in _everyone(found, teacher).items()}
    return {
        "fitted_on": int(table["fitted"].sum()),
        **{name: _plain(metrics.estimates(one, draws.test)) for name, one in without.items()},
        "strata": len(np.unique(strata)),
        "auroc_within_strata": {
            name: _over([estimate(one, draws.test, within) for one in each], draws) for name, each in scored.items()
        },
    }


def originals(table: pd.DataFrame, params: EvaluateParams) -> Figures:
    """How far P(pneumonia) moves between an original and its copy, and between framings, by model and split."""
    wide = {name: table.pivot(index="file", columns="framing", values=name) for name in ("teacher", *KINDS)}
    about = table.drop_duplicates("file").set_index("file")
    figures: Figures = {}
    for split in ["all", *sorted(about["split"].unique())]:
        chosen = about if split == "all" else about[about["split"] == split]
        figures[split] = {"n": len(chosen)}
        for name, p in wide.items():
            rows = p.loc[chosen.index]
            figures[split][name] = {}
            for pair, (one, other) in {
                "original_and_copy": ("squash", "copy"),
                "crop_and_squash": ("crop", "squash"),
                "letterbox_and_squash": ("letterbox", "squash"),
            }.items():
                values = {
                    "mean_absolute_change": (rows[one] - rows[other]).abs().to_numpy(),
                    "mean_change": (rows[one] - rows[other]).to_numpy(),
                    "decisions_changed": ((rows[one] >= 0.5) != (rows[other] >= 0.5)).to_numpy(float),
                }
                patients = chosen["patient"].to_numpy(str)
                figures[split][name][pair] = {
                    what: mean_by_patient(
                        each, patients, resamples=params.bootstrap_resamples, seed=params.seed
                    ).summary()
                    for what, each in values.items()
                }
    return figures


def maps(table: pd.DataFrame, distilled: Network, params: EvaluateParams) -> Figures:
    """Overlap of where two networks look, on the test images that the distilled student gets right and wrong."""
    right = metrics.decisions(distilled.test) == distilled.test.labels
    figures: Figures = {}
    for (one, other), rows in table.groupby(["one", "other"], sort=False):
        pair: Figures = {}
        for case, chosen in {"all": np.ones_like(right), "right": right, "wrong": ~right}.items():
            if not chosen.any():
                continue
            pair[case] = {"n": int(chosen.sum())} | {
                what: mean_by_patient(
                    rows[what].to_numpy(float)[chosen], distilled.test.patients[chosen],
                    resamples=params.bootstrap_resamples, seed=params.seed,
                ).summary()
                for what in ("iou", "iou_by_chance", "correlation")
            }  # fmt: skip
        figures[f"{one} and {other}"] = pair
    return figures


CAUSES = {
    "all_of_it": (("low", "alone", "half"), ("high", "train", "half")),
    "learning_rate": (("low", "alone", "half"), ("high", "alone", "half")),
    "then_distillation": (("high", "alone", "half"), ("high", "eval", "half")),
    "then_teacher_in_train_mode": (("high", "eval", "half"), ("high", "train", "half")),
    "operating_point_alone": (("low", "alone", "half"), ("low", "alone", "matched")),
    "distillation_alone": (("low", "alone", "half"), ("low", "eval", "half")),
    "teacher_in_train_mode_at_low_rate": (("low", "eval", "half"), ("low", "train", "half")),
    "operating_point_at_high_rate": (("high", "alone", "half"), ("high", "alone", "matched")),
    "distillation_once_matched": (("high", "alone", "matched"), ("high", "train", "matched")),
}
"""What changes -> from and to: learning rate, teacher (alone, or the mode of its BatchNorm), threshold."""


def blog(cells: Mapping[str, Network], draws: Resampling) -> Figures:
    """The blog's recipe cause by cause: every cell of group `blog` at 0.5 and at the prevalence-matched threshold, and
    paired differences that change one thing, means over a setting's seeds. Raises CxrError unless two rates are named.
    """
    mine = _group(cells, "blog")
    rates = sorted({cell.learning_rate for _, _, cell in mine if cell.learning_rate})
    if len(rates) != 2 or not all(cell.learning_rate for _, _, cell in mine):
        raise CxrError("study/params.yaml: the cells of group blog need learning_rate, two different ones in all")
    found: dict[tuple[str, str, str], list[dict[str, Estimate]]] = defaultdict(list)
    figures: Figures = {"cells": {}}
    for name, network, cell in mine:
        rate = "low" if cell.learning_rate == rates[0] else "high"
        how = cell.teacher_mode if isinstance(cell, TaughtCell) else "alone"
        matched = threshold_for_prevalence(network.val)
        at = {
            point: metrics.estimates(network.test, draws.test, threshold=threshold)
            for point, threshold in (("half", metrics.THRESHOLD), ("matched", matched))
        }
        for point, drawn in at.items():
            found[rate, how, point].append(drawn)
        figures["cells"][name] = {
            "learning_rate": cell.learning_rate,
            "at_half": _plain(at["half"]),
            "prevalence_matched": {"threshold": rounded(matched), **_plain(at["matched"])},
        }
    means = {setting: _mean_over_seeds(each, draws) for setting, each in found.items()}
    figures["causes"] = {
        cause: {metric: (means[after][metric] - means[before][metric]).summary() for metric in metrics.METRICS}
        for cause, (before, after) in CAUSES.items()
        if before in means and after in means
    }
    return figures


def _group(cells: Mapping[str, Network], group: str) -> list[tuple[str, Network, AloneCell | TaughtCell]]:
    return [
        (name, network, network.cell) for name, network in cells.items() if network.cell and network.cell.group == group
    ]


def _mean_over_seeds(each: list[dict[str, Estimate]], draws: Resampling) -> dict[str, Estimate]:
    picks = draws.picks(len(each), split="test")
    return {metric: over_seeds([one[metric] for one in each], picks).draw for metric in metrics.METRICS}


def ablation(cells: Mapping[str, Network], found: Families, draws: Resampling) -> Figures:
    """The cells of group `ablation` by name, each with its paired difference to the one before; the last line is the
    last cell's student at full schedule, over its seeds."""
    mine = {name: [network] for name, network, _ in sorted(_group(cells, "ablation"), key=lambda each: each[0])}
    if not mine:
        return {}
    last = list(mine.values())[-1][0]
    kind = "distilled" if last.distill else "baseline"
    if last.cell and (full := found.get(f"{last.cell.arch}-{kind}")):
        mine["full_schedule"] = list(full.values())
    drawn = {
        name: _mean_over_seeds([metrics.estimates(n.test, draws.test) for n in networks], draws)
        for name, networks in mine.items()
    }
    steps: Figures = {
        name: {
            "seeds": len(networks),
            "test": _plain(drawn[name]),
            "validation_log_loss": _log_loss(networks, draws).summary(),
        }
        for name, networks in mine.items()
    }
    for before, name in pairwise(mine):
        steps[name]["step"] = {m: (drawn[name][m] - drawn[before][m]).summary() for m in metrics.METRICS}
    return steps


def _log_loss(networks: list[Network], draws: Resampling) -> Estimate:
    each = [estimate(network.val, draws.val, balanced_log_loss) for network in networks]
    return over_seeds(each, draws.picks(len(each), split="val")).draw


def grid(cells: Mapping[str, Network], teacher_val: Floats, draws: Resampling) -> Figures:
    """The points of group `grid`: figures averaged over a point's seeds, predicted and measured effective alpha.

    teacher_val: (N, K) the teacher's logits on validation, with the classes of the cells. The measured alpha of a
    point of the blog's loss is the alpha at which a student by Hinton's loss, at the same temperature, ends as far
    from the teacher on validation (`behaves_like` of `distances_to_teacher`).
    """
    points: dict[Point, list[Network]] = defaultdict(list)
    for _, network, _ in _group(cells, "grid"):
        points[_point_of(network)].append(network)
    if ALONE not in points:
        raise CxrError("study/params.yaml: the grid needs a student alone (group: grid), which is its alpha 0")
    losses = {point: _log_loss(networks, draws) for point, networks in points.items()}
    best = min(losses, key=lambda key: losses[key].value)

    ones = np.ones((1, len(teacher_val)))
    some = np.vstack([ones, draws.val[:ALPHA_RESAMPLES]])

    def distances(key: Point, temperature: float) -> Floats:
        each = [distances_to_teacher(n.val_logits, teacher_val, temperature=temperature) for n in points[key]]
        return (some @ np.mean(each, axis=0)) / some.sum(axis=1)

    figures: Figures = {}
    for key, networks in sorted(points.items()):
        loss, alpha, temperature = key
        classes = networks[0].val_logits.shape[1]
        test = _mean_over_seeds([metrics.estimates(n.test, draws.test) for n in networks], draws)
        gap = losses[key] - losses[best]
        figures[_point_name(key)] = entry = {
            "loss": loss,
            "alpha": alpha,
            "temperature": temperature,
            "seeds": len(networks),
            "validation_log_loss": losses[key].summary(),
            "behind_the_best": gap.summary(),
            "within_noise_of_the_best": key == best or gap.interval()["low"] <= 0,
            "test": _plain(test),
        }
        if key == ALONE:
            continue
        entry["kl_gradient_share"] = rounded(float(np.mean([n.kl_gradient_share for n in networks])))
        entry["distance_to_teacher"] = _drawn(distances(key, temperature)).summary()
        entry["effective_alpha"] = rounded(
            effective_alpha(alpha, temperature, classes=classes) if loss == "blog" else alpha
        )
        by_alpha = {k[1]: k for k in sorted(points) if k[::2] == ("hinton", temperature)}
        if loss == "blog" and by_alpha:
            curve = [distances(k, temperature) for k in (ALONE, *by_alpha.values())]
            alphas, mine = [0.0, *by_alpha], distances(key, temperature)
            found = [
                behaves_like(alphas, list(column), own) for column, own in zip(np.transpose(curve), mine, strict=True)
            ]
            entry["measured_alpha"] = _drawn(np.array(found)).summary()
    agreement = _agreement([p for p in figures.values() if "measured_alpha" in p])
    return {"best_on_validation": _point_name(best), **agreement, "points": figures}


def _drawn(values: Floats) -> Estimate:
    return Estimate(float(values[0]), values[1:])


def _agreement(measured: list[Figures]) -> Figures:
    # At alpha 1 the two losses are one but for a factor, so that there is nothing to find out.
    told = [point for point in measured if point["alpha"] < 1]
    if not told:
        return {}
    found = np.array([point["measured_alpha"]["value"] for point in told])
    gaps = {
        name: np.abs(found - np.array([point[key] for point in told]))
        for name, key in (("predicted", "effective_alpha"), ("nominal", "alpha"))
    }
    gaps["predicted_minus_nominal"] = gaps["predicted"] - gaps["nominal"]
    picks = seed_picks(len(told), resamples=2000, seed=0)  # over points
    return {
        "measured_alpha_off": {name: Estimate(float(gap.mean()), picks @ gap).summary() for name, gap in gaps.items()}
    }


def _point_of(network: Network) -> Point:
    how = network.distill
    return (how.loss, how.alpha, how.temperature) if how else ALONE


def _point_name(point: Point) -> str:
    loss, alpha, temperature = point
    return loss if point == ALONE else f"{loss}_alpha{alpha:g}_T{temperature:g}"


def more_seeds(figures: Figures, cells: Mapping[str, Network], *, wanted: int = 2) -> list[str]:
    """Lines for study/params.yaml: the seeds that points of the grid within noise of the best still lack.

    figures: section `grid`.
    """
    lines: dict[str, list[str]] = {"alone:": [], "taught:": []}
    points: dict[Point, list[tuple[str, AloneCell | TaughtCell]]] = defaultdict(list)
    for name, network, cell in _group(cells, "grid"):
        points[_point_of(network)].append((name, cell))
    for point, mine in points.items():
        if figures["points"][_point_name(point)]["within_noise_of_the_best"]:
            (name, cell), seeds = mine[0], {cell.seed for _, cell in mine}
            lacking = [seed for seed in range(wanted + len(seeds)) if seed not in seeds][: max(0, wanted - len(seeds))]
            lines["alone:" if point == ALONE else "taught:"] += [
                f"  {name}_s{seed}: {cell.model_copy(update={'seed': seed}).model_dump(exclude_unset=True)}"
                for seed in lacking
            ]
    return [line for section, new in lines.items() if new for line in (section, *new)]


def study(
    *,
    cells: Mapping[str, Network],
    main: Mapping[str, Network],
    test_subtypes: NDArray[Any],
    teacher_val: Floats,
    tables: Mapping[str, pd.DataFrame],
    student: StudentParams,
    distill: DistillParams,
    params: StudyParams,
    evaluate: EvaluateParams,
) -> Figures:
    """All of metrics/study.json.

    main: teacher, baseline and distilled of the pipeline; test_subtypes (N,) of the test images; teacher_val (N, 2)
    the teacher's logits on validation with the classes of the grid; tables: shortcuts, originals, maps.
    """
    teacher = main["teacher"]
    same_images({name: network.test for name, network in {**main, **cells}.items()})
    draws = resampling(teacher, evaluate)
    found = families(cells, main, student, distill)
    each, differences = students(found, teacher, draws)
    return {
        "n": len(teacher.test.labels),
        "patients": len(np.unique(teacher.test.patients)),
        "sensitivity_target": evaluate.sensitivity_target,
        "students": each,
        "teacher": teacher_figures(teacher, draws),
        "differences": differences,
        "calibration": calibration(found, teacher, draws),
        "operating_points": operating_points(found, teacher, draws),
        "subtypes": subtypes(found, teacher, test_subtypes, draws),
        "shortcuts": shortcuts(tables["shortcuts"], found, teacher, draws, params),
        "originals": originals(tables["originals"], evaluate),
        "maps": maps(tables["maps"], main["distilled"], evaluate),
        "blog": blog(cells, draws),
        "ablation": ablation(cells, found, draws),
        "grid": grid(cells, teacher_val, draws),
    }
