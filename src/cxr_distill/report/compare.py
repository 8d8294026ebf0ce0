"""Teacher, student alone and distilled student on the same test images, as paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import Estimate, patient_resamples, rounded
from cxr_distill.evaluation.geometry import geometry_model
from cxr_distill.evaluation.metrics import Scored, decisions, estimates
from cxr_distill.evaluation.predictions import LOGITS

TEMPERATURES = (0.5, 1.0, 2.0, 4.0)
MODELS = ("teacher", "baseline", "distilled")


def estimate_all(models: Mapping[str, Scored], *, resamples: int, seed: int) -> dict[str, dict[str, Estimate]]:
    """Metrics of every model in the same resamples of patients. Raises CxrError unless all scored the same images."""
    first = models["teacher"]
    for name, scored in models.items():
        if not (np.array_equal(scored.labels, first.labels) and np.array_equal(scored.patients, first.patients)):
            raise CxrError(f"predictions/{name}.csv is of other images than predictions/teacher.csv; run `dvc repro`")
    weights = patient_resamples(first.labels, first.patients, resamples=resamples, seed=seed)
    return {name: estimates(scored, weights) for name, scored in models.items()}


def compare(
    models: Mapping[str, Scored], estimated: Mapping[str, Mapping[str, Estimate]], *, parameters: Mapping[str, int]
) -> dict[str, Any]:
    """What metrics/comparison.json shows; `parameters` per model of MODELS.

    gap_closed is (distilled - baseline) / (teacher - baseline), left out where the teacher is not the better one.
    """
    both = ("accuracy", "auroc")
    teacher, baseline, distilled = (estimated[name] for name in MODELS)
    gap = {metric: teacher[metric].value - baseline[metric].value for metric in both}
    gained = {metric: distilled[metric].value - baseline[metric].value for metric in both}
    return {
        "n": len(models["teacher"].labels),
        "patients": len(np.unique(models["teacher"].patients)),
        "parameters": dict(parameters),
        "size_ratio": rounded(parameters["teacher"] / parameters["distilled"]),
        "gain_over_baseline": {metric: (distilled[metric] - baseline[metric]).summary() for metric in both},
        "difference_to_teacher": {metric: (distilled[metric] - teacher[metric]).summary() for metric in both},
        "gap_closed": {metric: rounded(gained[metric] / gap[metric]) for metric in both if gap[metric] > 1e-6},
        "agreement_with_teacher": {
            name: {
                "same_decision": rounded((decisions(scored) == decisions(models["teacher"])).mean()),
                "mean_absolute_difference": rounded(
                    np.abs(scored.probabilities - models["teacher"].probabilities).mean()
                ),
            }
            for name, scored in models.items()
            if name != "teacher"
        },
    }


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
    return {"accuracy": rounded(accuracy), "auroc": rounded(roc_auc_score(sick[test], p))}


def temperature_table(teacher: pd.DataFrame) -> pd.DataFrame:
    """Probability of the teacher's first choice at each temperature, by share of the validation images (0 to 1).

    Columns share, T_0.5, T_1, T_2, T_4; 101 rows.
    """
    logits = teacher.loc[teacher["split"] == "val", LOGITS].to_numpy(float)
    share = np.linspace(0, 1, 101)
    columns = {f"T_{t:g}": np.quantile(softmax(logits / t, axis=1).max(axis=1), share) for t in TEMPERATURES}
    return pd.DataFrame({"share": share, **columns})
