"""Prints how many page faults twenty steps cost that allocate and free; argv[1]: "kept" if buffers are to be kept."""

import resource
import sys

import torch

from cxr_distill.training.loop import keep_buffers


def step() -> None:
    [torch.ones(9 << 18) for _ in range(4)]


if sys.argv[1] == "kept":
    keep_buffers()
for _ in range(3):  # until a step needs no more than the one before it
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
