"""Faster arithmetic where the processor has it, said and recorded, and never a silent change of results elsewhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from small_training import DATA, STUDENT, TRAIN, TRAINER, VAL, VIEWS, settings, weights

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.nets.common import precision
from cxr_distill.nets.common.layers import read_trained, write_weights
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.params import TrainerParams
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.teacher.soft_targets import make_soft_targets
from cxr_distill.training.loop import fit
from cxr_distill.training.sampling import balanced_order
from cxr_distill.training.task import CrossEntropyTask


@pytest.mark.parametrize(
    ("units", "expected", "named"),
    [
        (["amx_bf16", "avx512_bf16"], "bf16-mixed", " AMX,"),
        (["avx512_bf16"], "bf16-mixed", " BF16,"),
        (["avx512_f"], "32-true", ","),
    ],
)
def test_auto_is_bf16_only_where_there_are_units_for_it(
    monkeypatch: pytest.MonkeyPatch, units: list[str], expected: str, named: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(units, True))
    assert precision.resolved("auto") == expected
    assert precision.resolved("32-true") == "32-true" and precision.resolved("bf16-mixed") == "bf16-mixed"
    assert f"{torch.backends.cpu.get_cpu_capability()}{named}" in precision.processor()


def test_training_says_its_precision_once_and_the_weights_remember_it(capfd, tmp_path) -> None:
    trainer = TRAINER.model_copy(update={"precision": "auto"})
    net = build_student(STUDENT)
    fit(CrossEntropyTask(net, STUDENT), DATA, settings(trainer=trainer))
    said = precision.trained_with(trainer)
    line = f"precision: {said['precision']} on {said['processor']}"
    assert capfd.readouterr().out.count(line) == 1
    write_weights(net, tmp_path / "weights", trained=said)
    assert read_trained(tmp_path / "weights") == said


def test_bf16_trains_a_network_close_to_that_of_fp32_and_repeats_its_bytes() -> None:
    nets = {}
    for name, kind in (("single", "32-true"), ("half", "bf16-mixed"), ("again", "bf16-mixed")):
        nets[name] = build_student(STUDENT)
        trainer = TRAINER.model_copy(update={"precision": kind})
        fit(CrossEntropyTask(nets[name], STUDENT), DATA, settings(trainer=trainer))
    assert weights(nets["half"]) == weights(nets["again"]) != weights(nets["single"])
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in nets["half"].state_dict().values())
    half, single = (predict_logits(nets[name], VAL.pixels) for name in ("half", "single"))
    assert np.corrcoef(half[:, 0], single[:, 0])[0, 1] > 0.9


def test_soft_targets_in_bf16_are_those_of_fp32_to_two_digits() -> None:
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accelerator": "gpu"}, "trainer.accelerator: PyTorch finds no GPU here"),
        ({"accelerator": "mps"}, "trainer.accelerator: PyTorch finds no Apple GPU here"),
        ({"accelerator": "tpu"}, "trainer.accelerator: there is no TPU here"),
        ({"precision": "16-mixed"}, "trainer.precision: 16-mixed needs a GPU"),
    ],
)
def test_what_this_machine_cannot_do_is_one_line_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    trainer = TRAINER.model_copy(update=changes)
    with pytest.raises(CxrError, match=reason):
        precision.device_of(trainer)
    before = weights(net := build_student(STUDENT))
    with pytest.raises(CxrError, match=reason):
        fit(CrossEntropyTask(net, STUDENT), DATA, settings(trainer=trainer))
    assert weights(net) == before


def test_64_bits_are_no_precision_of_the_trainer() -> None:
    with pytest.raises(CxrError, match=r"trainer\.precision"):
        parse(TrainerParams, {**TRAINER.model_dump(), "precision": "64-true"}, "trainer")


def test_networks_run_where_the_trainer_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for accelerator, device in (("gpu", "cuda"), ("auto", "cuda"), ("cpu", "cpu")):
        assert precision.device_of(TRAINER.model_copy(update={"accelerator": accelerator})).type == device
    seen = []

    class Net(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            seen.append(pixels.device.type)
            return pixels.mean(dim=(1, 2, 3))[:, None].expand(-1, 3)

    # A device without values stands for one that this machine lacks: what is computed there cannot come back.
    with pytest.raises(NotImplementedError, match="meta"):
        predict_logits(Net(), VAL.pixels, device=torch.device("meta"))
    assert seen == ["meta"]


@pytest.mark.parametrize(
    "stage", ["find_lungs", "train_teacher", "soft_targets", "train_baseline", "distill", "evaluate"]
)
def test_every_stage_that_runs_a_network_obeys_the_accelerator_before_it_reads_a_film(
    stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["trainer"]["accelerator"] = "gpu"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)  # where there is no film to read
    monkeypatch.setattr(sys, "argv", [stage, "teacher"] if stage == "evaluate" else [stage])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CxrError, match=r"^trainer\.accelerator: PyTorch finds no GPU here; set it to cpu or auto$"):
        importlib.import_module(f"stages.{stage}").main()
