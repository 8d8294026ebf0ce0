"""What a cell's result depends on, as one hash: settings, input files, code, versions, and kind of processor."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from cxr_distill.base.imports import reached
from cxr_distill.nets.common.precision import AUTO, processor, resolved

# Loaded here, so that the hashes of `environment` are those of the code that will run.
from study.cells import distilled, network, site, teacher
from study.plan.settings import Setting, StudentSetting, TeacherSetting, WholeSetting
from study.plan.site import SiteSetting

ROOT = Path(__file__).resolve().parents[2]
CODE = {"baseline": network, "distilled": distilled, "site": site, "teacher": teacher}
"""Kind of cell -> the module that trains it."""
NO_RESULT = tuple(  # what can change a message alone
    f"src/cxr_distill/base/{name}.py" for name in ("errors", "imports", "params")
)
LIBRARIES = ("lightning", "numpy", "scikit-learn", "scipy", "torch", "torchvision")

Environment = dict[str, Any]


def cell_key(setting: Setting, inputs: Mapping[str, str], environment: Environment) -> str:
    """Hex SHA-256 of all that a cell depends on; `inputs`: name of an input -> its SHA-256."""
    depends = {**environment, "code": code_of(setting, environment), "setting": setting.model_dump(), "inputs": inputs}
    return sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def code_of(setting: Setting, environment: Environment) -> str:
    """The hash of the code that trains this kind of cell: another loss of distillation leaves students alone valid."""
    of_student = "distilled" if isinstance(setting, StudentSetting) and setting.distill else "baseline"
    others = {SiteSetting: "site", TeacherSetting: "teacher", WholeSetting: "teacher"}
    return str(environment["code"][others.get(type(setting), of_student)])


@cache
def environment() -> Environment:
    """Versions, kind of processor with one thread, its precision `auto`, and hashes of the code that is loaded here."""
    with one_thread():
        return {
            "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
            "processor": processor(),
            "auto": resolved(AUTO),
            "code": {kind: code_hash(module.__name__) for kind, module in CODE.items()},
        }


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for PyTorch and all linear algebra: sums are rounded in the same order wherever a cell is trained."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def code_hash(module: str) -> str:
    """Hex SHA-256 of the files of this project that `module` can run, with their names."""
    digest = sha256()
    for name in sorted(path.relative_to(ROOT).as_posix() for path in reached(module, ROOT, ROOT / "src")):
        if name not in NO_RESULT:
            digest.update(f"{name}\0".encode() + sha256((ROOT / name).read_bytes()).digest())
    return digest.hexdigest()
