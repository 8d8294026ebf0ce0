"""Scores of every network under one set of names, and the films that they are of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.probabilities import log_odds


def films_table(index: pd.DataFrame) -> pd.DataFrame:
    """Columns split, file, patient, label, subtype of the films that are trained on or scored, in their order."""
    return index.loc[index["split"].isin(["train", "val", "test"]), ["split", "file", "patient", "label", "subtype"]]


def of_pipeline(name: str, predictions: pd.DataFrame, films: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Log-odds of pneumonia float32 by a network of the main pipeline from its table, under the names that cells have.

    SPLIT and SPLIT_reframed (N,), SPLIT_reframed_any (draws, N); and logits of its classes, SPLIT_logits (N, 3). Raises
    CxrError if they are of other films.
    """
    places: dict[str, list[str]] = {}
    for column in predictions.columns[predictions.columns.str.startswith("p_")]:  # p_pneumonia: films as they are
        place = re.sub(r"_\d+$", "", column.removeprefix("p")).replace("_pneumonia", "")
        places.setdefault(place, []).append(column)
    tensors: dict[str, NDArray[Any]] = {}
    for split in ("val", "test"):
        rows = predictions[predictions["split"] == split]
        if rows["file"].tolist() != films.loc[films["split"] == split, "file"].tolist():
            raise CxrError(f"evaluation/{name}.csv is of other films than data/index.csv; run `dvc repro` in the root")
        for place, columns in places.items():
            odds = log_odds(rows[columns].to_numpy(float)).astype(np.float32).T
            tensors[f"{split}{place}"] = odds if len(columns) > 1 else odds[0]
        tensors[f"{split}_logits"] = rows.filter(regex="^logit_").to_numpy(np.float32)
    return tensors
