"""A student whose first weights are the released ones: the same answers before it learns, and one class fewer where
causes are unknown."""

from __future__ import annotations

from hashlib import md5

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from drawn_films import chest, shrunk

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.init import random, release
from cxr_distill.nets.common.layers import load_weights
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams

PARAMS = parse(StudentParams, yaml.safe_load((ROOT / "params.yaml").read_text())["student"], "student")


@pytest.fixture(scope="module")
def films() -> np.ndarray:
    return np.stack([shrunk(chest(seed), size=96) for seed in range(12)])


def test_the_student_that_is_shipped_is_that_of_the_committed_run() -> None:
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]["distill"]["outs"]
    (weights,) = (out["md5"] for out in lock if out["path"] == "models/distilled.safetensors")
    assert md5(release.SHIPPED.read_bytes()).hexdigest() == weights


def test_before_it_learns_it_answers_as_the_released_student(films: np.ndarray) -> None:
    released = build_student(PARAMS)
    load_weights(released, release.SHIPPED)
    expected = predict_logits(released, films)
    three = predict_logits(release.begin(PARAMS, classes=3), films)
    assert np.allclose(three, expected, atol=1e-4)  # the operating point is part of the bias now
    two = predict_logits(release.begin(PARAMS, classes=2), films)
    assert two.shape == (12, 2) and np.allclose(two[:, 0], expected[:, 0], atol=1e-4)
    # log(e^a + e^b) is at least (a + b) / 2 + log 2.
    assert (p_pneumonia(two) <= p_pneumonia(expected) + 1e-6).all()


def test_random_gives_the_weights_of_the_seed() -> None:
    begun, built = random.begin(PARAMS, classes=3), build_student(PARAMS)
    assert all(torch.equal(one, other) for one, other in zip(begun.parameters(), built.parameters(), strict=True))


def test_another_shape_or_a_damaged_file_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for change in ({"channels": [8, 12, 16, 24]}, {"arch": "plain", "channels": [32, 64, 96]}):
        with pytest.raises(CxrError, match=r"student\.init: release needs a student of the released shape"):
            release.begin(PARAMS.model_copy(update=change), classes=3)
    monkeypatch.setattr(release, "SHA256", "0" * 64)
    with pytest.raises(CxrError, match="is damaged"):
        release.begin(PARAMS, classes=3)
