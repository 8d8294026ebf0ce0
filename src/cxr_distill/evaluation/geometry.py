"""How well the geometry of a film predicts its label, without any pixel: its size, or where its lungs lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr_distill.evaluation.bootstrap import Floats, rounded
from cxr_distill.evaluation.scores import Ints


def geometry_model(numbers: Floats, labels: Ints, fitted: NDArray[np.bool_]) -> Floats:
    """P(pneumonia), (N,), by logistic regression on a few numbers of every film.

    numbers: (N, 2) width and height in pixels, or (N, 4) the box of the lungs; NaN where unknown, which gives NaN.
    labels: (N,) 0 or 1; fitted: (N,) rows to fit on, all of them known. Both classes have the same total weight in the
    fit.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(numbers[fitted], labels[fitted])
    p = np.full(len(numbers), np.nan)
    known = ~np.isnan(numbers).any(axis=1)
    p[known] = model.predict_proba(numbers[known])[:, 1]
    return p


def box_share(boxes: NDArray[np.floating]) -> float:
    """Mean share of a film that its lung box fills; boxes (N, 4) in shares of the film's sides."""
    return rounded((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).mean())
