"""Parameters and films so small that training takes seconds, and a run that is long enough to be killed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from torch import nn

from cxr_distill.distill.params import DistillParams
from cxr_distill.distill.task import DistillationTask
from cxr_distill.nets.common.params import BalanceParams, FitSettings, OperatingPointParams, TrainerParams, ViewParams
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.training.data import Images, TrainingData
from cxr_distill.training.loop import fit

FIT = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.002,
    "weight_decay": 0.05,
    "label_smoothing": 0.0,
    "keep": "last",
    "seed": 0,
}
STUDENT = StudentParams(**FIT, arch="plain", channels=[4, 8, 8], init="random")
TEACHER = TeacherParams(**FIT, arch="resnet18", sees=["film"], image_size=32, pretrained=False)
VIEWS = ViewParams(
    seed=0, rotation_degrees=10, translation=0.1, scale=0.1, aspect=0.1, flip=0.5, contrast=0.2, brightness=0.1,
    gamma=0.2, detail=0.3, erase=0.2, frame=0.5,
)  # fmt: skip
BALANCE = BalanceParams(classes=True, batchnorm="images", film_quality=0.5)
POINT = OperatingPointParams(widths=[0.85, 1.0, 1.3], frames=1)
OURS = DistillParams(alpha=0.9, temperature=4.0, loss="hinton")  # as the study's main student
TRAINER = TrainerParams(accelerator="cpu", devices=1, num_nodes=1, strategy="auto", precision="32-true")
SETTINGS = FitSettings(views=VIEWS, balance=BALANCE, operating_point=POINT, trainer=TRAINER)


def images(count: int, seed: int) -> Images:
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 3
    pixels = random.integers(0, 120, (count, 24, 24), dtype=np.uint8)
    pixels[labels > 0, 8:16, 8:16] += 100
    return Images(pixels, labels)


TRAIN, VAL = images(48, 0), images(24, 1)
DATA = TrainingData(TRAIN, VAL)


def settings(**changes: object) -> FitSettings:
    return SETTINGS.model_copy(update=changes)


def weights(net: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values())


def long_run(folder: Path, learning_rate: float = 0.002) -> bytes:
    """Distils for eight epochs, going on from what is in `folder`; weights and history as bytes."""
    params = STUDENT.model_copy(update={"epochs": 8, "learning_rate": learning_rate})
    net, many = build_student(params), images(480, 0)
    targets = np.random.default_rng(2).normal(size=(2, 480, 3)).astype(np.float32)
    task = DistillationTask(net, params, DistillParams(alpha=0.5, temperature=2, loss="hinton"))
    history = fit(task, TrainingData(many, VAL, targets), settings(view_count=2, resume=folder))
    return weights(net) + json.dumps(history).encode()
