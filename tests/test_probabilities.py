"""What training and the commands share in place of a library that screening cannot bring along."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxr_distill.base.probabilities import auroc, log_odds, logistic_probabilities, logistic_regression


def test_auroc_is_scikit_learns_with_ties_too() -> None:
    random = np.random.default_rng(0)
    labels, scores = random.integers(0, 2, 300), random.integers(0, 40, 300) / 40
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert np.isnan(auroc(np.ones(3), scores[:3]))


def test_logistic_regression_is_scikit_learns_with_weights_and_penalty() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(400, 6))
    labels = (features[:, 0] - features[:, 1] ** 2 + random.normal(size=400) > 0).astype(float)
    weights = np.where(labels == 1, 2.0, 0.5)
    theirs = LogisticRegression(C=1 / 3, tol=1e-10, max_iter=10_000).fit(features, labels, sample_weight=weights)
    ours = logistic_regression(features, labels, weights=weights, penalty=3.0)
    assert ours == pytest.approx([*theirs.coef_[0], theirs.intercept_[0]], abs=1e-5)
    assert logistic_probabilities(features, ours) == pytest.approx(theirs.predict_proba(features)[:, 1], abs=1e-5)


def test_separable_classes_have_finite_coefficients_under_a_penalty() -> None:
    features = np.linspace(-1, 1, 40)[:, None] * 1e3
    found = logistic_regression(features, (features[:, 0] > 0).astype(float), penalty=1.0)
    p = logistic_probabilities(features, found)
    assert np.isfinite(found).all() and p[0] < 0.5 < p[-1]


def test_log_odds_are_finite_at_certainty() -> None:
    assert log_odds([0.0, 0.5, 1.0]) == pytest.approx([-27.631, 0, 27.631], abs=1e-3)
    assert log_odds([0.0], least=1e-7) == pytest.approx([-16.118], abs=1e-3)
