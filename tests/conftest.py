"""Tests import the library and the stages from this checkout; those of DVC share one finished pipeline on phantoms."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side, so each process has one thread
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from demo.workspace import changes, environment, make_workspace, merge  # noqa: E402

ONE_SET = {"param_sets": {"no_labels": None}}  # one more student shows how they work


def run(folder: Path, *command: str, check: bool = True) -> str:
    env = environment() | {"HOME": str(folder / ".home"), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "tester", f"GIT_{role}_EMAIL": "tester@example.org"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Two workers begin with the two halves. Only the first then needs `finished` at once, and the second does not wait.
    first = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A Git and DVC repository in which the whole pipeline has run on phantoms and is committed; each worker's own."""
    own = tmp_path_factory.getbasetemp()
    made = (own if worker_id == "master" else own.parent) / "pipeline"
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            make_finished(own / "making")
            (own / "making").rename(made)
    shutil.copytree(made, own / "finished", symlinks=True)
    return own / "finished"


def make_finished(folder: Path) -> None:
    make_workspace(folder, merge(changes("tiny"), ONE_SET))
    run(folder, "git", "init", "-q", "-b", "main")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)  # as users run it: with a thread for each core
        run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "phantoms")


def put_back(finished: Path) -> None:
    """The finished repository as committed, whatever a test has changed in it."""
    run(finished, "git", "checkout", "-q", "-f", "main")
    run(finished, "git", "clean", "-fdq")
    run(finished, "dvc", "checkout", "-f", "-q")


@pytest.fixture(scope="session")
def drawn_tensors() -> NDArray[np.uint8]:
    """240 drawn chests as preprocessing leaves them, uint8 (240, 32, 32), every third one normal."""
    from cxr_distill.data.phantom import draw_film
    from cxr_distill.films.pixels import decode

    names = ["IM-1.jpeg", "person1_bacteria_1.jpeg", "person1_virus_1.jpeg"]
    films = (draw_film(names[number % 3], np.random.default_rng(number)) for number in range(240))
    return np.stack([decode(film.jpeg, size=32).pixels for film in films])


@pytest.fixture(scope="session")
def drawn_student(drawn_tensors: NDArray[np.uint8]) -> Callable[[str], Any]:
    """Makes an untrained student of an architecture that tells drawn chests apart, if not by what ails them."""
    import torch

    from cxr_distill.nets.common.layers import OperatingPoint
    from cxr_distill.nets.common.views import network_input
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.student.params import StudentParams

    def make(arch: str) -> Any:
        fit = {
            "epochs": 1,
            "batch_size": 8,
            "learning_rate": 1.0,
            "weight_decay": 0.0,
            "label_smoothing": 0.0,
            "keep": "last",
            "seed": 0,
        }
        net = build_student(StudentParams.model_validate({"arch": arch, "channels": [8, 16, 16], **fit}))
        with torch.no_grad():
            for _ in range(30):
                net.train()(network_input(torch.from_numpy(drawn_tensors[:64])))
            linear, point = list(net.children())[-2:]
            linear.weight.mul_(20)
            assert isinstance(point, OperatingPoint)
            logits = net.eval()(network_input(torch.from_numpy(drawn_tensors[:64])))
            linear.bias.sub_(logits.mean(dim=0))
            point.normal.fill_(0.3)
        return net

    return make


@pytest.fixture(scope="session")
def released(drawn_student: Callable[[str], Any], drawn_tensors: NDArray[np.uint8]) -> dict[str, bytes]:
    """The files of a release of such a student."""
    from cxr_distill.base.classes import CLASSES, p_pneumonia
    from cxr_distill.evaluation.scores import Scored
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.release.build import make_release
    from cxr_distill.release.params import ReleaseParams

    student = drawn_student("plain")
    train, val = drawn_tensors[:180], drawn_tensors[180:]
    labels = (np.arange(180, 240) % 3 > 0).astype(np.int64)
    predicted = Scored(labels, p_pneumonia(predict_logits(student, val)), np.arange(60))
    params = ReleaseParams(refused=0.019, calibration_images=16, strangers=2, seed=0)
    hashes = {"dataset_sha256": "data", "weights_sha256": "weights"}
    files, _ = make_release(student, train, val, predicted, params, classes=CLASSES, **hashes)
    return files
