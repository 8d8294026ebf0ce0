"""How well the width and height of an image predict its label, without any pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr_distill.evaluation.bootstrap import Floats
from cxr_distill.evaluation.metrics import Ints


def geometry_model(sizes: Floats, labels: Ints, fitted: NDArray[np.bool_]) -> Floats:
    """P(pneumonia), (N,), by logistic regression on width and height.

    sizes: (N, 2) in pixels, NaN where unknown, which gives NaN; labels: (N,) 0 or 1; fitted: (N,) rows to fit on, all
    of known size. Both classes have the same total weight in the fit.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(sizes[fitted], labels[fitted])
    p = np.full(len(sizes), np.nan)
    known = ~np.isnan(sizes).any(axis=1)
    p[known] = model.predict_proba(sizes[known])[:, 1]
    return p
