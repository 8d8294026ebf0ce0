"""On which device and with which arithmetic a network is trained and run, and the kind of processor that did it.

Equal code, data and parameters give equal bytes on one kind of processor. On another kind, or with another precision,
sums are rounded in another order, and the results differ a little.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.params import TrainerParams

AUTO, MIXED, FP32, FP16 = "auto", "bf16-mixed", "32-true", "16-mixed"
CPU = torch.device("cpu")
BF16_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "BF16"}
"""Units of a CPU that compute in bf16, as PyTorch and as we name them, the faster first."""


def device_of(trainer: TrainerParams) -> torch.device:
    """Where networks run that no Lightning trains: that of `trainer.accelerator`.

    Raises CxrError if this machine has none of that kind, or if it cannot compute with `trainer.precision`.
    """
    wanted = trainer.accelerator
    if wanted == "gpu" and not torch.cuda.is_available():
        raise CxrError("trainer.accelerator: PyTorch finds no GPU here; set it to cpu or auto")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise CxrError("trainer.accelerator: PyTorch finds no Apple GPU here; set it to cpu or auto")
    if wanted == "tpu" and not _has_tpu():
        raise CxrError("trainer.accelerator: there is no TPU here; set it to cpu or auto")
    if wanted in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda")
    if wanted in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    if trainer.precision == FP16:
        raise CxrError(f"trainer.precision: {FP16} needs a GPU; set it to auto, {MIXED} or {FP32}")
    return CPU


def _has_tpu() -> bool:
    from lightning.pytorch.accelerators import XLAAccelerator

    return bool(XLAAccelerator.is_available())


def resolved(precision: str, device: torch.device = CPU) -> str:
    """Lightning's name of a precision: the same, or for `auto` bf16 where the device has units for it."""
    if precision != AUTO:
        return precision
    return MIXED if _has_bf16_units(device) else FP32


def processor(device: torch.device = CPU) -> str:
    """The kind of processor that decides how sums are rounded, e.g. `x86_64 AVX512 AMX, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    units = [torch.backends.cpu.get_cpu_capability(), *_bf16_units()[:1]]
    threads = torch.get_num_threads()
    return f"{platform.machine()} {' '.join(units)}, {threads} thread{'s' if threads > 1 else ''}"


def trained_with(trainer: TrainerParams) -> dict[str, str]:
    """What a weights file says of its training: `precision` as Lightning names it, and `processor`.

    Raises CxrError as `device_of` does.
    """
    device = device_of(trainer)
    return {"precision": resolved(trainer.precision, device), "processor": processor(device)}


def autocast(precision: str, device: torch.device = CPU) -> AbstractContextManager[object]:
    """The context in which a network on the device computes with this precision."""
    if precision not in (MIXED, FP16):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == MIXED else torch.float16)


def _has_bf16_units(device: torch.device) -> bool:
    # Without such units bf16 is emulated, and slower than fp32.
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(_bf16_units())


def _bf16_units() -> list[str]:
    found = torch.cpu.get_capabilities()
    return [name for unit, name in BF16_UNITS.items() if found.get(unit)]
