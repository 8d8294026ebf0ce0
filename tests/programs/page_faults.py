"""Prints how many page faults twenty steps cost that allocate and free; argv[1]: "low" if memory is to be low."""

import resource
import sys

import torch

from cxr_distill.training.loop import set_allocator


def step() -> None:
    [torch.ones(9 << 18) for _ in range(4)]


set_allocator(low_memory=sys.argv[1] == "low")
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
