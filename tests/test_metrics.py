"""Figures that people will quote: held against scikit-learn, and against what can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import precision_recall_curve, roc_auc_score

from cxr_distill.base.errors import CxrError
from cxr_distill.base.templates import signed
from cxr_distill.compare.curves import precision_recall_curves, roc_curves
from cxr_distill.compare.differences import differences, geometry_only, shown, temperature_table
from cxr_distill.evaluation import bootstrap, metrics, scores
from cxr_distill.evaluation.predict import mean_prediction
from cxr_distill.evaluation.predictions import Predicted, logits_of
from cxr_distill.evaluation.scores import Scored
from cxr_distill.report.comparison import comparison_report


def scored(images: int = 200, seed: int = 0, skill: float = 1.0) -> Scored:
    labels = np.random.default_rng(0).integers(0, 2, images)
    noise = np.random.default_rng(seed).normal(size=images)
    p = expit(skill * (2 * labels - 1) + noise)
    return Scored(labels, p.round(2), np.array([f"p{number // 2}" for number in range(images)]))


def test_weighted_auroc_with_ties_is_scikit_learns() -> None:
    sample = scored()
    weights = np.random.default_rng(1).integers(0, 4, (5, 200)).astype(float)
    ours = scores.weighted_auroc(sample.labels, sample.probabilities, weights)
    theirs = [roc_auc_score(sample.labels, sample.probabilities, sample_weight=w) for w in weights]
    assert ours == pytest.approx(theirs)


def test_counts_by_hand() -> None:
    sample = Scored(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.4, 0.6, 0.1]), np.array(list("abcde")))
    estimated = scores.estimates(sample, np.ones((1, 5)))
    values = {name: each.value for name, each in estimated.items()}
    assert values == pytest.approx({"accuracy": 0.6, "auroc": 4 / 6, "sensitivity": 2 / 3, "specificity": 0.5})
    assert scores.threshold_for_sensitivity(sample, 1.0) == 0.4
    assert scores.threshold_for_sensitivity(sample, 0.6) == 0.5


def test_all_that_is_written_of_five_images_by_hand() -> None:
    sample = Scored(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.4, 0.6, 0.1]), np.array(list("abcde")))
    found = metrics.evaluate(sample, resamples=100, seed=0, validation_threshold=0.4)
    expected = {
        "n": 5, "threshold": 0.5, "accuracy": 0.6, "balanced_accuracy": (2 / 3 + 1 / 2) / 2, "auroc": 4 / 6,
        "auprc": (1 + 2 / 3 + 3 / 4) / 3, "sensitivity": 2 / 3, "specificity": 1 / 2, "f1": 2 / 3,
        "brier": (0.01 + 0.25 + 0.36 + 0.36 + 0.01) / 5,
        "log_loss": -np.log([0.9, 0.5, 0.4, 0.4, 0.9]).mean(),
        "ece": (0.1 + 0.5 + 0.6 + 0.6 + 0.1) / 5,  # each image alone in its bin
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert found["at_validation_threshold"] == pytest.approx(
        {"threshold": 0.4, "accuracy": 0.8, "sensitivity": 1.0, "specificity": 0.5}
    )
    assert {*found} == {*expected, "ci95", "at_validation_threshold"}


def test_calibration_error_by_hand() -> None:
    sample = Scored(np.array([1, 0, 1, 1]), np.array([0.15, 0.15, 0.85, 0.95]), np.array(list("abcd")))
    assert scores.expected_calibration_error(sample) == pytest.approx((2 * 0.35 + 0.15 + 0.05) / 4)


def test_an_interval_holds_95_percent_of_the_resamples() -> None:
    assert bootstrap.Estimate(0.5, np.linspace(0, 1, 1001)).interval() == {"low": 0.025, "high": 0.975}


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"value": 0.0076, "low": 0.0031, "high": 0.0134}, "+0.008 [+0.003, +0.013]"),
        ({"mean": 0.0032, "low": 0.0001, "high": 0.0065}, "+0.0032 [+0.0001, +0.0065]"),
        ({"value": 0.0, "low": -0.00001, "high": 0.0}, "+0.0000 [+0.0000, +0.0000]"),
    ],
)
def test_a_difference_shows_on_which_side_of_0_it_is(difference: dict[str, float], words: str) -> None:
    assert signed(difference) == words


def test_interval_over_patients_is_wider_than_over_images_when_patients_repeat() -> None:
    single = scored(100)
    four = [np.repeat(part, 4) for part in (single.labels, single.probabilities)]
    widths = []
    for patients in (np.repeat(np.arange(100), 4), np.arange(400)):
        repeated = Scored(four[0], four[1], patients)
        weights = bootstrap.patient_resamples(repeated.labels, repeated.patients, resamples=1000, seed=0)
        interval = scores.estimates(repeated, weights)["accuracy"].interval()
        widths.append(interval["high"] - interval["low"])
    assert widths[0] > 1.6 * widths[1]


def test_a_model_against_itself_differs_by_exactly_nothing_and_pairing_narrows_the_interval() -> None:
    one, similar = scored(), scored(skill=1.1)
    models = {"teacher": one, "distilled": one, "baseline": similar}
    found = differences(models, changed(models), resamples=500, seed=0)
    assert found["gap"]["auroc"] == {"value": 0, "low": 0, "high": 0}
    assert found["agreement_with_teacher"]["distilled"] == {"same_decision": 1, "mean_absolute_difference": 0}
    alone = metrics.evaluate(one, resamples=500, seed=0, validation_threshold=0.5)["ci95"]["auroc"]
    paired = found["gain"]["auroc"]
    assert paired["high"] - paired["low"] < (alone["high"] - alone["low"]) / 2


def test_gain_and_gap_are_positive_where_the_distilled_student_is_better() -> None:
    models = {"teacher": scored(skill=2), "baseline": scored(seed=1, skill=0.5), "distilled": scored(seed=2)}
    worse = {**models, "distilled": scored(seed=3, skill=0.2)}  # a reader of frames
    found = differences(models, changed(worse), resamples=300, seed=0)
    auroc = {name: roc_auc_score(model.labels, model.probabilities) for name, model in models.items()}
    gain, gap = (shown(found[name])["test"] for name in ("gain", "gap"))
    assert gain["auroc"] == pytest.approx(auroc["distilled"] - auroc["baseline"], abs=1e-6) and gain["auroc"] > 0
    assert gap["auroc"] == pytest.approx(auroc["distilled"] - auroc["teacher"], abs=1e-6) and gap["auroc"] < 0
    assert found["gain"]["auroc_reframed"]["value"] < 0 and found["gain"]["auroc_reframed_any"]["value"] < 0
    assert set(gain) == set(gap) == {"accuracy", "auroc"}


def test_everything_that_is_written_is_finite_and_repeatable() -> None:
    sample = scored()
    first = metrics.evaluate(sample, resamples=200, seed=0, validation_threshold=0.3)
    assert first == metrics.evaluate(sample, resamples=200, seed=0, validation_threshold=0.3)
    flat = pd.json_normalize(first).to_numpy(float)
    assert np.isfinite(flat).all()
    models = {"teacher": sample, "other": scored(seed=1)}
    for curve in (roc_curves(models), precision_recall_curves(models), metrics.reliability(sample)):
        assert len(curve) >= 2 and np.isfinite(curve.to_numpy()).all()


def test_the_few_metrics_on_one_screen_are_those_of_the_evaluation() -> None:
    samples = {"test": scored(), "validation": scored(90)}
    full = {
        split: metrics.evaluate(sample, resamples=200, seed=0, validation_threshold=0.3)
        | {"frames": {"reframed": {"accuracy": {"value": 0.7}, "auroc": {"value": 0.8}}}}
        for split, sample in samples.items()
    }
    other = {"accuracy_reframed": 0.7, "auroc_reframed": 0.8}
    few = ("accuracy", "auroc", "sensitivity", "specificity")
    assert metrics.shown(full) == {
        "test": {metric: full["test"][metric] for metric in few} | other,
        "val": {metric: full["validation"][metric] for metric in ("auroc", "log_loss")} | {"auroc_reframed": 0.8},
    }


def test_curves_on_the_grid_are_scikit_learns() -> None:
    good, poor = scored(skill=3), scored(seed=1, skill=0.3)
    roc = roc_curves({"good": good, "poor": poor})
    assert len(roc) > 900  # these two differ nearly everywhere
    area = np.trapezoid(roc["poor"], roc["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(poor.labels, poor.probabilities), abs=0.01)
    curves = precision_recall_curves({"good": good, "poor": poor}).set_index("recall")
    precision, recall, _ = precision_recall_curve(poor.labels, poor.probabilities)
    for wanted in (0.25, 0.5, 0.9):
        assert curves["poor"][wanted] == pytest.approx(precision[recall >= wanted - 1e-9][-1])


def test_curves_are_cut_to_the_box_in_which_they_differ() -> None:
    # Both models rank 40 of 50 pneumonias first. "worse" then ranks 5 of 50 normal films before the other 10.
    labels = np.array([1] * 40 + [0] * 5 + [1] * 10 + [0] * 45)
    falling = np.linspace(1, 0, 100)
    worse, better = (Scored(ranked, falling, np.arange(100)) for ranked in (labels, np.sort(labels)[::-1]))
    roc = roc_curves({"better": better, "worse": worse})
    assert roc["false_positive_rate"].iloc[[0, -1]].tolist() == [0, pytest.approx(0.1)]
    assert roc[["better", "worse"]].min().min() == pytest.approx(0.8)
    same = roc_curves({"one": worse, "two": worse})
    assert same["false_positive_rate"].iloc[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "probabilities"), [([1, 1], [0.2, 0.3]), ([0, 1], [0.2, np.nan]), ([0, 1], [0.2, 1.2]), ([0, 2], [0, 1])]
)
def test_what_cannot_be_scored_is_one_clear_error(labels: list[int], probabilities: list[float]) -> None:
    with pytest.raises(CxrError):
        Scored(np.array(labels), np.array(probabilities), np.array(["a", "b"]))


def test_comparison_of_other_images_is_rejected() -> None:
    with pytest.raises(CxrError, match="other images"):
        models = {"teacher": scored(200), "baseline": scored(100)}
        differences(models, changed(models), resamples=100, seed=0)


def evaluation(models: dict[str, Scored]) -> dict[str, Any]:
    """What `compare` gathers of these models."""

    def of(scored: Scored) -> dict[str, Any]:
        frames = metrics.frame_figures(
            scored, {"reframed": [scored], "reframed_any": [scored] * 4}, resamples=300, seed=0
        )
        return metrics.evaluate(scored, resamples=300, seed=0, validation_threshold=0.5) | {"frames": frames}

    described = {
        name: {
            "parameters": 1000 if name == "teacher" else 100,
            "megabytes": 1.0,
            "weights_sha256": f"{number}" * 64,
            "trained": {"precision": "bf16-mixed", "processor": "x86_64 AVX512 AMX, 2 threads"},
            "validation": of(scored),
            "test": of(scored),
        }
        for number, (name, scored) in enumerate(models.items())
    }
    size = {"median": 224}
    dataset = {"archive_sha256": "ab" * 32, "width": size, "height": size, "image_size": 96}
    compared = differences(models, changed(models), resamples=300, seed=0)
    of_boxes = {name: {"validation": 0.875, "test": 0.75} for name in ("boxes_only", "box_share")}
    lungs = {
        "parameters": 100,
        "validation": {"n": 20, "mean_iou": 0.925, "mean_iou_of_worst_twentieth": 0.8125},
        "without_a_published_box": {"train": 2, "val": 0, "test": 1},
    }
    return {"dataset": dataset, "models": described, "comparison": {**compared, **of_boxes}, "lungs": lungs}


def changed(models: dict[str, Scored]) -> dict[str, dict[str, list[Scored]]]:
    """The same answers for reframed films."""
    return {name: {"reframed": [one], "reframed_any": [one] * 4} for name, one in models.items()}


@pytest.mark.parametrize("synthetic", [True, False])
def test_report_names_its_data_its_training_and_every_interval(synthetic: bool) -> None:
    models = {"teacher": scored(skill=2), "baseline": scored(seed=1), "distilled": scored(seed=2, skill=1.5)}
    figures = {**evaluation(models), "synthetic": synthetic, "source": {"origin": "an archive at hand"}}
    report = comparison_report(figures)
    assert "an archive at hand; archive `abababababab`" in report
    assert ("SYNTHETIC" in report) is synthetic and "abababababab" in report
    assert report.count("[") == 3 * 6 + 2 * 5 + 2 and "10 times larger" in report
    assert "precision bf16-mixed, x86_64 AVX512 AMX, 2 threads: teacher, baseline, distilled." in report
    assert "20 validation films at a mean IoU of 0.925, and of 0.812 on the worst twentieth" in report
    assert "the boxes of 3 films" in report
    assert "teacher `000000000000`, baseline `111111111111`, distilled `222222222222`." in report


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.01, 0.03, "+0.020 [+0.010, +0.030]; the 95% interval lies above 0."),
        (-0.03, -0.01, "-0.020 [-0.030, -0.010]; the 95% interval lies below 0."),
        (-0.01, 0.05, "+0.020 [-0.010, +0.050]; the 95% interval includes 0."),
    ],
)
def test_the_report_leads_with_the_answer_that_the_interval_allows(low: float, high: float, answer: str) -> None:
    figures = evaluation({name: scored() for name in ("teacher", "baseline", "distilled")})
    figures["comparison"]["gain"]["auroc"] = {"value": (low + high) / 2, "low": low, "high": high}
    assert answer in comparison_report(figures).splitlines()[2]


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
    films = pd.DataFrame({"split": "val", "subtype": ["normal", "viral"] * 25})
    table = temperature_table(films.join(pd.DataFrame(draws, columns=logits_of(films))))
    assert list(table.columns) == ["share", "T_0.5", "T_1", "T_2", "T_4"]
    assert (table["T_4"] <= table["T_1"] + 1e-12).all() and (table["T_1"] <= table["T_0.5"] + 1e-12).all()


def test_what_two_networks_say_together_is_the_mean_of_their_probabilities_on_the_films_that_both_saw() -> None:
    random = np.random.default_rng(0)

    def said(*places: str) -> Predicted:
        return Predicted({place: [random.normal(size=(5, 3)).astype(np.float32)] for place in places}, 0.5)

    film, lungs = said("as_it_is", "reframed", "lungs_only"), said("as_it_is", "reframed")
    both = mean_prediction([film, lungs])
    assert list(both.logits) == ["as_it_is", "reframed"] and both.activation_in_lungs is None
    for place, (draw,) in both.logits.items():
        expected = (softmax(film.logits[place][0], axis=1) + softmax(lungs.logits[place][0], axis=1)) / 2
        assert softmax(draw, axis=1) == pytest.approx(expected, abs=1e-6)
    assert mean_prediction([film]) is film
