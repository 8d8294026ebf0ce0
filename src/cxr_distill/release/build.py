"""From a trained student to the released files, and the check that they answer as it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.probabilities import auroc
from cxr_distill.evaluation.bootstrap import rounded
from cxr_distill.evaluation.scores import THRESHOLD, Scored, decisions, expected_calibration_error
from cxr_distill.release.graph import Screener, to_onnx, with_facts
from cxr_distill.release.int8 import quantise
from cxr_distill.release.params import ReleaseParams
from cxr_distill.release.strangers import ALTERED, ALTERED_UNSEEN, DRAWN, DRAWN_UNSEEN, alter_films, draw_strangers
from cxr_distill.release.temperature import fit_temperature
from cxr_distill.release.typicality import fit_chest_threshold, fit_typicality
from cxr_distill.screen.facts import Facts
from cxr_distill.screen.session import Answers, Model

Pixels = NDArray[np.uint8]
FP32, INT8 = "cxr-distill.onnx", "cxr-distill-int8.onnx"
BATCH = 16


def make_release(
    student: nn.Module,
    train: Pixels,
    val: Pixels,
    predicted: Scored,
    params: ReleaseParams,
    *,
    classes: tuple[str, ...],
    dataset_sha256: str,
    weights_sha256: str,
) -> tuple[dict[str, bytes], Facts]:
    """The files FP32 and INT8, by name, and the facts of the first.

    train, val: uint8 (N, S, S); predicted: the student's P(pneumonia) on `val`, on which the temperature is fitted.
    """
    size = train.shape[-1]
    temperature = fit_temperature(predicted.probabilities, predicted.labels)
    typicality, threshold = fit_typicality(train, val, rejected=params.rejected)
    facts = Facts(
        image_size=size,
        classes=classes,
        threshold=THRESHOLD,
        temperature=temperature,
        typicality_threshold=threshold,
        chest_threshold=min(threshold, fit_chest_threshold(typicality, val)),
        dataset_sha256=dataset_sha256,
        weights_sha256=weights_sha256,
        precision="fp32",
    )
    graph = to_onnx(Screener(student, typicality, temperature), size=size)
    chosen = np.random.default_rng(params.seed).permutation(len(train))[: params.calibration_images]
    small = quantise(graph, train[chosen])
    return {FP32: with_facts(graph, facts), INT8: with_facts(small, replace(facts, precision="int8"))}, facts


def check_release(
    files: Mapping[str, bytes], val: Pixels, test: Pixels, evaluated: Scored, params: ReleaseParams
) -> dict[str, Any]:
    """The content of reports/release.json: parity on `test`, calibration, and both rejection rates by kind of picture.

    files: from `make_release`; val, test: uint8 (N, S, S); evaluated: PyTorch's P(pneumonia) on `test`.
    """
    models = {name: Model(files[name]) for name in (FP32, INT8)}
    answers = {name: answer_all(model, test) for name, model in models.items()}
    calibrated = Scored(evaluated.labels, answers[FP32].p_calibrated.astype(np.float64), evaluated.patients)
    films = test[np.linspace(0, len(test) - 1, min(params.strangers, len(test))).astype(int)]
    size, count, seed = test.shape[-1], params.strangers, params.seed
    seen = draw_strangers(DRAWN, count=count, size=size, seed=seed) | alter_films(ALTERED, films)
    unseen = draw_strangers(DRAWN_UNSEEN, count=count, size=size, seed=seed) | alter_films(ALTERED_UNSEEN, films)
    pictures = {"validation": val, **seen, **unseen}
    typicality = {kind: answer_all(models[FP32], each).typicality for kind, each in pictures.items()}
    typicality["test"] = answers[FP32].typicality

    def rejected(threshold: float) -> dict[str, Any]:
        share = {kind: rounded((values < threshold).mean()) for kind, values in typicality.items()}
        return {
            "validation": share["validation"],
            "test": share["test"],
            "strangers_mean": rounded(mean(share[kind] for kind in (*seen, *unseen))),
            "strangers_unseen_mean": rounded(mean(share[kind] for kind in unseen)),
            "strangers": {kind: share[kind] for kind in seen},
            "strangers_unseen": {kind: share[kind] for kind in unseen},
        }

    return {
        **{
            part: {"megabytes": rounded(len(files[name]) / 1e6), **parity(answers[name].p_pneumonia, evaluated)}
            for part, name in (("fp32", FP32), ("int8", INT8))
        },
        "calibration": {
            "temperature": models[FP32].facts.temperature,
            "ece": rounded(expected_calibration_error(evaluated)),
            "ece_calibrated": rounded(expected_calibration_error(calibrated)),
        },
        "rejected": rejected(models[FP32].facts.typicality_threshold),
        "no_chest_film": rejected(models[FP32].facts.chest_threshold),
    }


def answer_all(model: Model, images: Pixels) -> Answers:
    """The answers for `images` (N, S, S), computed in batches of BATCH."""
    parts = [model(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return Answers(*(np.concatenate(outputs) for outputs in zip(*parts, strict=True)))


def parity(released: NDArray[np.floating], evaluated: Scored) -> dict[str, Any]:
    """How P(pneumonia) of a released file, (N,), differs from PyTorch's (`evaluated`) on the same images."""
    same = Scored(evaluated.labels, released.astype(np.float64), evaluated.patients)
    figures = {}
    for name, scored in (("released", same), ("evaluated", evaluated)):
        figures[name] = {
            "accuracy": float((decisions(scored) == scored.labels).mean()),
            "auroc": auroc(scored.labels, scored.probabilities),
        }
    return {
        "largest_change": float(f"{np.abs(same.probabilities - evaluated.probabilities).max():.1e}"),
        "decisions_changed": int((decisions(same) != decisions(evaluated)).sum()),
        **{name: rounded(value) for name, value in figures["released"].items()},
        **{
            f"{name}_change": rounded(value - figures["evaluated"][name]) for name, value in figures["released"].items()
        },
    }
