"""How the models differ on the same test images: paired differences, agreement, and what needs no network at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from cxr_distill.base.errors import CxrError
from cxr_distill.base.probabilities import auroc
from cxr_distill.evaluation.bootstrap import patient_resamples, rounded
from cxr_distill.evaluation.geometry import geometry_model
from cxr_distill.evaluation.metrics import IN_FRAMES
from cxr_distill.evaluation.predictions import REFRAMED, REFRAMED_ANY, logits_of
from cxr_distill.evaluation.scores import Scored, decisions, estimates, mean_estimates

TEMPERATURES = (0.5, 1.0, 2.0, 4.0)
MODELS = ("teacher", "baseline", "distilled")
CHANGES = (REFRAMED, REFRAMED_ANY)
SPLITS = {"validation": "val", "test": "test"}
"""A split's name in reports -> in data/."""


def differences(
    models: Mapping[str, Scored],
    changed: Mapping[str, Mapping[str, Sequence[Scored]]],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Distilled minus baseline (`gain`) and minus teacher (`gap`), and how often each model decides as the teacher.

    Positive is better for the distilled student in both. Each difference has a 95% interval, in which both models are
    scored on the same resamples of patients. `models` has at least MODELS; `changed`: of these the same films as one of
    CHANGES, for each draw.

    Raises CxrError unless all models scored the same images.
    """
    teacher = models["teacher"]
    for name, scored in models.items():
        if not (np.array_equal(scored.labels, teacher.labels) and np.array_equal(scored.patients, teacher.patients)):
            raise CxrError(f"evaluation/{name}.csv and evaluation/teacher.csv contain other images; run `dvc repro`")
    weights = patient_resamples(teacher.labels, teacher.patients, resamples=resamples, seed=seed)
    estimated = {
        "": {name: estimates(models[name], weights) for name in MODELS},
        **{
            f"_{change}": {
                name: mean_estimates([estimates(draw, weights) for draw in changed[name][change]]) for name in MODELS
            }
            for change in CHANGES
        },
    }

    def distilled_minus(other: str) -> dict[str, dict[str, float]]:
        return {
            f"{metric}{suffix}": (of["distilled"][metric] - of[other][metric]).summary()
            for suffix, of in estimated.items()
            for metric in IN_FRAMES
        }

    return {
        "n": len(teacher.labels),
        "patients": len(np.unique(teacher.patients)),
        "gain": distilled_minus("baseline"),
        "gap": distilled_minus("teacher"),
        "agreement_with_teacher": {
            name: {
                "same_decision": rounded((decisions(scored) == decisions(teacher)).mean()),
                "mean_absolute_difference": rounded(np.abs(scored.probabilities - teacher.probabilities).mean()),
            }
            for name, scored in models.items()
            if name != "teacher"
        },
    }


def shown(difference: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Accuracy and AUROC of `gain` or `gap` under the keys of a model's metrics: `dvc metrics show` lines them up.

    Reframed films are left to the reports: two experiments side by side shall fit on one screen.
    """
    return {"test": {metric: difference[metric]["value"] for metric in IN_FRAMES}}


def geometry_only(index: pd.DataFrame) -> dict[str, float]:
    """Accuracy and AUROC on test of logistic regression on width and height alone, fitted on train.

    Empty if all sizes are equal, as in an archive of resized copies.
    """
    size = index[["width", "height"]].to_numpy(float)
    sick = (index["label"] == "PNEUMONIA").to_numpy(np.int64)
    train, test = (index["split"] == "train").to_numpy(), (index["split"] == "test").to_numpy()
    if len(np.unique(size[train], axis=0)) < 2:
        return {}
    p = geometry_model(size, sick, train)[test]
    accuracy = ((p >= 0.5) == sick[test]).mean()
    return {"accuracy": rounded(accuracy), "auroc": rounded(auroc(sick[test], p))}


def boxes_only(films: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, float]:
    """AUROC on validation and test of logistic regression on the lung boxes alone, fitted on train.

    films: `boxes` (N, 4) and `labels` (N,) of the splits train, val and test.
    """
    boxes = np.concatenate([films[split]["boxes"] for split in ("train", "val", "test")])
    sick = np.concatenate([films[split]["labels"] > 0 for split in ("train", "val", "test")]).astype(np.int64)
    p = geometry_model(boxes, sick, np.arange(len(sick)) < len(films["train"]["labels"]))
    ends = np.cumsum([len(films[split]["labels"]) for split in ("train", "val", "test")])
    return {
        name: rounded(auroc(sick[first:last], p[first:last]))
        for name, first, last in (("validation", ends[0], ends[1]), ("test", ends[1], ends[2]))
    }


def temperature_table(teacher: pd.DataFrame) -> pd.DataFrame:
    """Probability of the teacher's first choice at each temperature, by share of the validation images (0 to 1).

    `teacher`: its predictions. Columns share, T_0.5, T_1, T_2, T_4; 101 rows.
    """
    logits = teacher.loc[teacher["split"] == "val", logits_of(teacher)].to_numpy(float)
    share = np.linspace(0, 1, 101)
    columns = {f"T_{t:g}": np.quantile(softmax(logits / t, axis=1).max(axis=1), share) for t in TEMPERATURES}
    return pd.DataFrame({"share": share, **columns})
