"""The predictions table, one row per image of validation and test: `evaluate` writes it, later stages read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.base.labels import class_names
from cxr_distill.evaluation.scores import Scored

AS_IT_IS, REFRAMED, REFRAMED_ANY = "as_it_is", "reframed", "reframed_any"
"""How films are framed: see `frames.variants`."""
DRAWS = 4
"""Of partners of any class."""
PLACES: Mapping[str, list[str]] = {
    AS_IT_IS: ["p_pneumonia"],
    REFRAMED: ["p_reframed"],
    REFRAMED_ANY: [f"p_reframed_any_{number}" for number in range(DRAWS)],
}
"""How a film is framed -> the columns of P(pneumonia), one for each draw."""
COLUMNS = ["split", "file", "patient", "subtype", "label", *(name for columns in PLACES.values() for name in columns)]
"""The columns of every table; those of `logits_of` come after them."""


class Predicted(NamedTuple):
    """What a network says of N films.

    logits: how the films are changed (at least PLACES) -> (N, K) for each draw. activation_in_lungs: share of its class
    activation maps inside the boxes of the lungs, None where it has none.
    """

    logits: dict[str, list[NDArray[np.float32]]]
    activation_in_lungs: float | None


def logits_of(table: pd.DataFrame) -> list[str]:
    """The columns of the logits, one for each class that the `subtype` of the films tells apart."""
    return [f"logit_{name}" for name in class_names(table["subtype"])]


def predictions_table(
    index: pd.DataFrame, *, split: str, labels: NDArray[np.uint8], logits: Mapping[str, list[NDArray[np.float32]]]
) -> pd.DataFrame:
    """COLUMNS and logits for the images of one split; `labels` (N,) in the order of the index.

    logits: those of PLACES, (N, K) for each draw.

    Raises CxrError if the tensors are not those of the index.
    """
    rows = index[index.split == split]
    names = class_names(rows.subtype)
    if rows.subtype.tolist() != [names[label] for label in labels]:
        raise CxrError(f"data/index.csv and the {split} tensors differ; run `dvc repro preprocess`")
    if not all(np.isfinite(draw).all() for place in PLACES for draw in logits[place]):
        raise CxrError("the network's logits are not finite: its training diverged; lower the learning rate")
    table = rows[["split", "file", "patient", "subtype"]].reset_index(drop=True)
    table["label"] = (labels > 0).astype(int)
    for place, columns in PLACES.items():
        for column, draw in zip(columns, logits[place], strict=True):
            table[column] = p_pneumonia(draw)
    table[logits_of(table)] = logits[AS_IT_IS][0]
    return table


def scored_split(predictions: pd.DataFrame, split: str) -> Scored:
    """Labels, P(pneumonia) of the films as they are, and patients of one split.

    Raises CxrError naming the split if they cannot be scored.
    """
    (scored,) = scored_draws(predictions, split, AS_IT_IS)
    return scored


def scored_draws(predictions: pd.DataFrame, split: str, place: str) -> list[Scored]:
    """The same for the films as one of PLACES, for each draw."""
    rows = predictions[predictions.split == split]
    labels, patients = rows.label.to_numpy(np.int64), rows.patient.to_numpy(str)
    try:
        return [Scored(labels, rows[column].to_numpy(np.float64), patients) for column in PLACES[place]]
    except CxrError as error:
        raise CxrError(f"{split}: {error}") from None
