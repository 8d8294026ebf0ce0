"""Which arithmetic a network is trained and run with, and the kind of processor that did it.

Equal code, data and parameters give equal bytes on one kind of processor. On another kind, or with another precision,
sums are rounded in another order, and the results differ a little.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from cxr_distill.nets.common.params import TrainerParams

AUTO, MIXED, SINGLE = "auto", "bf16-mixed", "32-true"


def resolved(precision: str, *, gpu: bool = False) -> str:
    """Lightning's name of a precision: the same, or for `auto` bf16 where the CPU (or GPU) has units for it."""
    if precision != AUTO:
        return precision
    return MIXED if _has_bf16_units(gpu=gpu) else SINGLE


def processor(trainer: TrainerParams | None = None) -> str:
    """The kind of processor that decides how sums are rounded, e.g. `x86_64 AVX512 AMX, 2 threads`.

    Without `trainer`, or where it does not train on a GPU, that of the CPU.
    """
    if trainer is not None and _on_gpu(trainer):
        return torch.cuda.get_device_name()
    units = [torch.backends.cpu.get_cpu_capability(), *(["AMX"] if _has_bf16_units(gpu=False) else [])]
    threads = torch.get_num_threads()
    return f"{platform.machine()} {' '.join(units)}, {threads} thread{'s' if threads > 1 else ''}"


def trained_with(trainer: TrainerParams) -> dict[str, str]:
    """What a weights file says of its training: `precision` as Lightning names it, and `processor`."""
    return {"precision": resolved(trainer.precision, gpu=_on_gpu(trainer)), "processor": processor(trainer)}


def autocast(precision: str) -> AbstractContextManager[object]:
    """The context in which a network on the CPU computes with this precision."""
    return torch.autocast("cpu", torch.bfloat16) if precision == MIXED else nullcontext()


def _on_gpu(trainer: TrainerParams) -> bool:
    return trainer.accelerator in ("auto", "gpu") and torch.cuda.is_available()


def _has_bf16_units(*, gpu: bool) -> bool:
    # Without such units bf16 is emulated, and slower than single precision.
    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
