"""Figures that people will quote: held against scikit-learn, and against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation import metrics
from cxr_distill.evaluation.metrics import Scored
from cxr_distill.report.compare import compare, estimate_all, geometry_only, temperature_table
from cxr_distill.report.comparison import comparison_report


def scored(images: int = 200, seed: int = 0, skill: float = 1.0) -> Scored:
    labels = np.random.default_rng(0).integers(0, 2, images)
    noise = np.random.default_rng(seed).normal(size=images)
    p = 1 / (1 + np.exp(-(skill * (2 * labels - 1) + noise)))
    return Scored(labels, p.round(2), np.array([f"p{number // 2}" for number in range(images)]))


def test_weighted_auroc_with_ties_is_scikit_learns() -> None:
    sample = scored()
    weights = np.random.default_rng(1).integers(0, 4, (5, 200)).astype(float)
    ours = metrics.weighted_auroc(sample.labels, sample.probabilities, weights)
    theirs = [roc_auc_score(sample.labels, sample.probabilities, sample_weight=w) for w in weights]
    assert ours == pytest.approx(theirs)


def test_counts_by_hand() -> None:
    sample = Scored(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.4, 0.6, 0.1]), np.array(list("abcde")))
    estimated = metrics.estimates(sample, np.ones((1, 5)))
    values = {name: each.value for name, each in estimated.items()}
    assert values == pytest.approx({"accuracy": 0.6, "auroc": 4 / 6, "sensitivity": 2 / 3, "specificity": 0.5})
    assert metrics.threshold_for_sensitivity(sample, 1.0) == 0.4
    assert metrics.threshold_for_sensitivity(sample, 0.6) == 0.5


def test_calibration_error_by_hand() -> None:
    sample = Scored(np.array([1, 0, 1, 1]), np.array([0.15, 0.15, 0.85, 0.95]), np.array(list("abcd")))
    assert metrics.expected_calibration_error(sample) == pytest.approx((2 * 0.35 + 0.15 + 0.05) / 4)


def test_interval_over_patients_is_wider_than_over_images_when_patients_repeat() -> None:
    single = scored(100)
    four = [np.repeat(part, 4) for part in (single.labels, single.probabilities)]
    widths = []
    for patients in (np.repeat(np.arange(100), 4), np.arange(400)):
        repeated = Scored(four[0], four[1], patients)
        weights = metrics.patient_resamples(repeated.labels, repeated.patients, resamples=1000, seed=0)
        interval = metrics.estimates(repeated, weights)["accuracy"].interval()
        widths.append(interval["high"] - interval["low"])
    assert widths[0] > 1.6 * widths[1]


def test_a_model_against_itself_differs_by_exactly_nothing_and_pairing_narrows_the_interval() -> None:
    one, similar = scored(), scored(skill=1.1)
    estimated = estimate_all({"teacher": one, "same": one, "similar": similar}, resamples=500, seed=0)
    nothing = (estimated["teacher"]["auroc"] - estimated["same"]["auroc"]).summary()
    assert nothing == {"value": 0, "low": 0, "high": 0}
    paired = (estimated["teacher"]["auroc"] - estimated["similar"]["auroc"]).interval()
    alone = estimated["teacher"]["auroc"].interval()
    assert paired["high"] - paired["low"] < (alone["high"] - alone["low"]) / 2


def test_everything_that_is_written_is_finite_and_repeatable() -> None:
    sample = scored()
    first = metrics.evaluate(sample, resamples=200, seed=0, validation_threshold=0.3)
    assert first == metrics.evaluate(sample, resamples=200, seed=0, validation_threshold=0.3)
    flat = pd.json_normalize(first).to_numpy(float)
    assert np.isfinite(flat).all()
    for curve in (metrics.roc_points(sample), metrics.precision_recall_points(sample), metrics.reliability(sample)):
        assert 2 <= len(curve) <= metrics.CURVE_POINTS and np.isfinite(curve.to_numpy()).all()


@pytest.mark.parametrize(
    ("labels", "probabilities"), [([1, 1], [0.2, 0.3]), ([0, 1], [0.2, np.nan]), ([0, 1], [0.2, 1.2]), ([0, 2], [0, 1])]
)
def test_what_cannot_be_scored_is_one_clear_error(labels: list[int], probabilities: list[float]) -> None:
    with pytest.raises(CxrError):
        Scored(np.array(labels), np.array(probabilities), np.array(["a", "b"]))


def test_comparison_of_other_images_is_refused() -> None:
    with pytest.raises(CxrError, match="other images"):
        estimate_all({"teacher": scored(200), "baseline": scored(100)}, resamples=100, seed=0)


@pytest.mark.parametrize("synthetic", [True, False])
def test_report_names_its_data_and_every_interval(synthetic: bool) -> None:
    models = {"teacher": scored(skill=2), "baseline": scored(seed=1), "distilled": scored(seed=2, skill=1.5)}
    estimated = estimate_all(models, resamples=300, seed=0)
    result = compare(models, estimated, parameters={"teacher": 1000, "baseline": 100, "distilled": 100})
    assert result["size_ratio"] == 10
    gap = estimated["teacher"]["auroc"].value - estimated["baseline"]["auroc"].value
    gain = result["gain_over_baseline"]["auroc"]["value"]
    assert result["gap_closed"]["auroc"] == pytest.approx(gain / gap, abs=1e-4)
    size = {"median": 224}
    dataset = {"archive_sha256": "ab" * 32, "width": size, "height": size, "image_size": 96}
    report = comparison_report(estimated, result, dataset, synthetic=synthetic)
    assert ("SYNTHETIC" in report) is synthetic and "abababababab" in report
    assert report.count("[") >= 3 * 4 + 4


def test_size_alone_is_scored_where_sizes_differ() -> None:
    sick = np.tile([True, False], 50)
    index = pd.DataFrame(
        {
            "width": np.where(sick, 100, 200) + np.arange(100) % 7,
            "height": 100,
            "label": np.where(sick, "PNEUMONIA", "NORMAL"),
            "split": np.where(np.arange(100) < 60, "train", "test"),
        }
    )
    assert geometry_only(index) == {"accuracy": 1.0, "auroc": 1.0}
    assert geometry_only(index.assign(width=224, height=224)) == {}


def test_temperature_softens_the_teacher() -> None:
    draws = np.random.default_rng(0).normal(0, 4, (50, 3))
    logits = pd.DataFrame(draws, columns=["logit_normal", "logit_bacterial", "logit_viral"])
    table = temperature_table(logits.assign(split="val"))
    assert list(table.columns) == ["share", "T_0.5", "T_1", "T_2", "T_4"]
    assert (table["T_4"] <= table["T_1"] + 1e-12).all() and (table["T_1"] <= table["T_0.5"] + 1e-12).all()
