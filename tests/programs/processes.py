"""Trains a network without BatchNorm in argv[1] processes, and writes its weights into the file argv[2]."""

import sys
from pathlib import Path

import torch
from small_training import DATA, STUDENT, TRAINER, settings
from torch import nn

from cxr_distill.nets.common.layers import OperatingPoint, Standardise, write_weights
from cxr_distill.training.loop import fit
from cxr_distill.training.task import CrossEntropyTask

torch.set_num_threads(1)
torch.manual_seed(0)
parts = [Standardise(), nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(800, 3), OperatingPoint()]
net = nn.Sequential(*parts)
trainer = TRAINER.model_copy(update={"devices": int(sys.argv[1]), "strategy": "auto" if sys.argv[1] == "1" else "ddp"})
fit(CrossEntropyTask(net, STUDENT), DATA, settings(trainer=trainer, view_count=2))
write_weights(net, Path(sys.argv[2]))
