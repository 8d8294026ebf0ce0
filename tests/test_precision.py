"""Faster arithmetic where the processor has it, said and recorded, and never a silent change of results elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_training import BALANCE, STUDENT, TRAIN, TRAINER, VAL, VIEWS, weights

from cxr_distill.nets.common import precision
from cxr_distill.nets.common.layers import read_trained, write_weights
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.teacher.soft_targets import make_soft_targets
from cxr_distill.training.loop import fit
from cxr_distill.training.sampling import balanced_order
from cxr_distill.training.task import CrossEntropyTask


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_bf16_only_where_there_are_units_for_it(
    monkeypatch: pytest.MonkeyPatch, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx})
    assert precision.resolved("auto") == expected
    assert precision.resolved("32-true") == "32-true" and precision.resolved("bf16-mixed") == "bf16-mixed"
    assert ("AMX" in precision.processor()) == amx


def test_training_says_its_precision_once_and_the_weights_remember_it(capfd, tmp_path) -> None:
    trainer = TRAINER.model_copy(update={"precision": "auto"})
    net = build_student(STUDENT)
    fit(CrossEntropyTask(net, STUDENT), TRAIN, VAL, VIEWS, BALANCE, trainer)
    said = precision.trained_with(trainer)
    line = f"precision: {said['precision']} on {said['processor']}"
    assert capfd.readouterr().out.count(line) == 1
    write_weights(net, tmp_path / "weights", trained=said)
    assert read_trained(tmp_path / "weights") == said


def test_bf16_trains_a_network_close_to_that_of_single_precision_and_repeats_its_bytes() -> None:
    nets = {}
    for name, kind in (("single", "32-true"), ("half", "bf16-mixed"), ("again", "bf16-mixed")):
        nets[name] = build_student(STUDENT)
        trainer = TRAINER.model_copy(update={"precision": kind})
        fit(CrossEntropyTask(nets[name], STUDENT), TRAIN, VAL, VIEWS, BALANCE, trainer)
    assert weights(nets["half"]) == weights(nets["again"]) != weights(nets["single"])
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in nets["half"].state_dict().values())
    half, single = (predict_logits(nets[name], VAL.pixels) for name in ("half", "single"))
    assert np.corrcoef(half[:, 0], single[:, 0])[0, 1] > 0.9


def test_soft_targets_in_bf16_are_those_of_single_precision_to_two_digits() -> None:
    net = build_student(STUDENT)
    head = next(module for module in net.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        head.weight.mul_(30)  # else all films have nearly the same logits
    rows = balanced_order(torch.from_numpy(TRAIN.labels), seed=0, epoch=0)
    single, half = (
        make_soft_targets(net, TRAIN.pixels, rows, VIEWS, count=1, boxes=TRAIN.boxes, precision=kind)
        for kind in ("32-true", "bf16-mixed")
    )
    assert half.dtype == np.float32 and np.ptp(single, axis=1).min() > 0.5
    assert 0 < np.abs(half - single).max() < 0.02 * np.ptp(single)
