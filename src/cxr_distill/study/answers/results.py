"""study/results.json: from every network's predictions to the study's answers, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.evaluation import metrics
from cxr_distill.evaluation.bootstrap import mean_by_patient
from cxr_distill.evaluation.metrics import estimate
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.study.answers.recipes import ablation, blog, grid
from cxr_distill.study.answers.statistics import auroc_within, same_images, strata_of
from cxr_distill.study.answers.students import (
    Figures,
    Network,
    Resampling,
    Students,
    averaged,
    calibration,
    everyone,
    operating_points,
    plain,
    resampling,
    students,
    students_of,
    subtypes,
    teacher_figures,
)
from cxr_distill.study.params import Families, StudyParams

MAIN = ("teacher", "baseline", "distilled")


def study(
    *,
    cells: Mapping[str, Network],
    main: Mapping[str, Network],
    families: Families,
    test_subtypes: NDArray[Any],
    tables: Mapping[str, pd.DataFrame],
    params: StudyParams,
    evaluate: EvaluateParams,
) -> Figures:
    """All of study/results.json.

    main: teacher, baseline and distilled of the pipeline; test_subtypes (N,) of the test images; tables: shortcuts,
    originals, maps.
    """
    teacher = main["teacher"]
    same_images({name: network.test for name, network in {**main, **cells}.items()})
    draws = resampling(teacher, evaluate)
    found = students_of(families, cells, main)
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
        "grid": grid(cells, draws),
    }


def shown(figures: Figures, arch: str) -> Figures:
    """The few of `study`'s figures that are compared between runs, all of test; `arch`: of the main student."""
    student, gain = figures["students"][f"{arch}-distilled"], figures["differences"][arch]["distilled_minus_baseline"]
    both = ("accuracy", "auroc")
    return {
        "student": {
            "parameters": student["parameters"],
            "seeds": student["auroc"]["seeds"],
            **{metric: student[metric]["mean"] for metric in both},
        },
        "gain_over_baseline": {metric: gain[metric] for metric in both},
        "teacher": {metric: figures["teacher"][metric]["value"] for metric in both},
    }


def shortcuts(
    table: pd.DataFrame, found: Students, teacher: Network, draws: Resampling, params: StudyParams
) -> Figures:
    """What needs no network, and every network within strata of similar image geometry."""
    test = table[table["split"] == "test"]
    without = {
        name: replace(teacher.test, probabilities=test[name].to_numpy(float))
        for name in ("geometry", "thumbnail", "gradients")
    }
    strata = strata_of(without["geometry"].probabilities, strata=params.strata)
    within = auroc_within(strata)
    scored = {name: [one] for name, one in without.items()}
    scored |= {name: [n.test for n in networks] for name, networks in everyone(found, teacher).items()}
    return {
        "fitted_on": int(table["fitted"].sum()),
        **{name: plain(metrics.estimates(one, draws.test)) for name, one in without.items()},
        "strata": len(np.unique(strata)),
        "auroc_within_strata": {
            name: averaged([estimate(one, draws.test, within) for one in each], draws) for name, each in scored.items()
        },
    }


def originals(table: pd.DataFrame, params: EvaluateParams) -> Figures:
    """How far P(pneumonia) moves between an original and its copy, and between framings, by model and split."""
    wide = {name: table.pivot(index="file", columns="framing", values=name) for name in MAIN}
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
