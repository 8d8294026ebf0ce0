"""What the repository promises of its release, held against the committed figures and files."""

import json

import numpy as np
import pytest
from conftest import ROOT

from cxr_distill.release.build import FP32, INT8
from cxr_distill.screen.session import load_model

FIGURES = ROOT / "metrics/release.json"


@pytest.fixture(scope="module")
def figures() -> dict:
    return json.loads(FIGURES.read_text())


def test_the_release_answers_as_the_evaluated_student(figures: dict) -> None:
    evaluated = json.loads((ROOT / "metrics/distilled.json").read_text())["test"]
    fp32, int8 = figures["fp32"], figures["int8"]
    assert fp32["largest_change"] <= 1e-5 and fp32["decisions_changed"] == 0
    assert (fp32["accuracy"], fp32["auroc"]) == (evaluated["accuracy"], evaluated["auroc"])
    assert abs(int8["accuracy_change"]) <= 0.005 and abs(int8["auroc_change"]) <= 0.003


def test_films_pass_and_other_pictures_do_not(figures: dict) -> None:
    refused = figures["refused"]
    assert refused["test"] <= 0.02
    assert refused["strangers_mean"] >= 0.95 and refused["strangers_unseen_mean"] >= 0.95


def test_the_committed_files_are_small_and_answer() -> None:
    size = sum(file.stat().st_size for file in (ROOT / "release").iterdir())
    assert size < 2_000_000
    for name, precision in ((FP32, "fp32"), (INT8, "int8")):
        model = load_model(ROOT / "release" / name)
        assert model.facts.precision == precision
        flat = np.full((1, model.facts.image_size, model.facts.image_size), 128, np.uint8)
        assert model(flat).typicality[0] < model.facts.typicality_threshold
