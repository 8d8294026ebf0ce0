"""The predictions table, one row per image of validation and test: `evaluate` writes it, later stages read it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.base.labels import class_names
from cxr_distill.evaluation.scores import Scored

REFRAMED = "p_reframed"
COLUMNS = ["split", "file", "patient", "subtype", "label", "p_pneumonia", REFRAMED]
"""The columns of every table; those of `logits_of` come after them."""


def logits_of(table: pd.DataFrame) -> list[str]:
    """The columns of the logits, one for each class that the `subtype` of the films tells apart."""
    return [f"logit_{name}" for name in class_names(table["subtype"])]


def predictions_table(
    index: pd.DataFrame,
    *,
    split: str,
    labels: NDArray[np.uint8],
    logits: NDArray[np.float32],
    reframed: NDArray[np.float32],
) -> pd.DataFrame:
    """COLUMNS and logits for the images of one split; `labels` (N,) and `logits` (N, K) in the order of the index.

    `reframed`: the logits (N, K) for the same films in the frame of the other class.

    Raises CxrError if the tensors are not those of the index.
    """
    rows = index[index.split == split]
    names = class_names(rows.subtype)
    if rows.subtype.tolist() != [names[label] for label in labels]:
        raise CxrError(f"data/index.csv and the {split} tensors differ; run `dvc repro preprocess`")
    if not (np.isfinite(logits).all() and np.isfinite(reframed).all()):
        raise CxrError("the network's logits are not finite: its training diverged; lower the learning rate")
    table = rows[["split", "file", "patient", "subtype"]].reset_index(drop=True)
    table["label"] = (labels > 0).astype(int)
    table["p_pneumonia"] = p_pneumonia(logits)
    table[REFRAMED] = p_pneumonia(reframed)
    table[logits_of(table)] = logits
    return table


def scored_split(predictions: pd.DataFrame, split: str, column: str = "p_pneumonia") -> Scored:
    """Labels, P(pneumonia) in `column`, and patients of one split.

    Raises CxrError naming the split if they cannot be scored.
    """
    rows = predictions[predictions.split == split]
    try:
        return Scored(rows.label.to_numpy(np.int64), rows[column].to_numpy(np.float64), rows.patient.to_numpy(str))
    except CxrError as error:
        raise CxrError(f"{split}: {error}") from None
