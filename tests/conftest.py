"""Tests import the library and the stages from this checkout; those of DVC share one finished pipeline on phantoms.

A test is in one target of the Makefile: `make test`, or the one of its marker (TIERS).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side, so each process has one thread
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from demo.workspace import changes, environment, make_workspace, merge  # noqa: E402

ONE_SET = {"param_sets": {"no_labels": None}}  # one more student shows how they work
TIERS = ("slow", "page", "ci")
COLLECTED = pytest.StashKey[dict[str, set[str]]]()
"""All tests that were collected, before any is deselected, and which of TIERS each is in."""


def run(folder: Path, *command: str, check: bool = True) -> str:
    """Both outputs of `command` in a repository; with an identity for Git, and a HOME of its own."""
    env = environment() | {"HOME": str(folder / ".home"), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "tester", f"GIT_{role}_EMAIL": "tester@example.org"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def program(name: str, *words: object) -> list[str]:
    """The command that runs tests/programs/NAME.py with these words."""
    return [sys.executable, str(ROOT / "tests/programs" / f"{name}.py"), *map(str, words)]


def with_path(*folders: str) -> dict[str, str]:
    """This environment, in which Python also imports from these folders of the repository."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in folders)}


def ran(output: str) -> list[str]:
    """The stages that ran, in DVC's output."""
    return re.findall(r"Running stage '([^']+)'", output)


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old`, which stands once in the file."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[COLLECTED] = {
        item.nodeid: {mark.name for mark in item.iter_markers() if mark.name in TIERS} for item in items
    }
    # Two workers begin with the two halves. Only the first then needs `finished` at once, and the second does not wait.
    shared = {"repository", "finished"}
    first = {item.path for item in items if shared & {*getattr(item, "fixturenames", ())}}
    items.sort(key=lambda item: item.path not in first)


def newcomer(folder: Path, *command: str, status: int = 0) -> str:
    """Both outputs of a command as of somebody who has a HOME without a Git identity, in the environment or not."""
    home = (folder.parent if folder.name == ".demo" else folder).parent / "home"
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400)
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout + result.stderr


def demo(folder: Path, *words: str, status: int = 0) -> str:
    """What `make demo` says on the tiny films."""
    return newcomer(folder, sys.executable, "-m", "demo", "tiny", *words, status=status)


def change_tiny(folder: Path, changed: Mapping[str, object]) -> None:
    """Other values in demo/tiny.yaml of a repository."""
    (folder / "demo/tiny.yaml").write_text(yaml.safe_dump(merge(changes("tiny"), changed)))


def make_newcomer(folder: Path, *, settings: str = "") -> None:
    """`folder`/repository, where `python -m demo tiny` has run once, from nothing.

    What it said is in first.txt, its log in first.log.

    `settings`: of DVC, as a user may have them for all projects.
    """
    repository = folder / "repository"
    make_workspace(repository, {})
    change_tiny(repository, ONE_SET)
    run(repository, "git", "init", "-q")
    config = folder / "home/.config/dvc/config"
    config.parent.mkdir(parents=True)
    config.write_text(settings)
    (folder / "first.txt").write_text(demo(repository))
    shutil.copy(repository / ".demo/demo.log", folder / "first.log")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A copy of this repository in which `make demo` has run once by real DVC, on tiny films; each worker's own."""
    own = tmp_path_factory.getbasetemp()
    made = (own if worker_id == "master" else own.parent) / "newcomer"
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            make_newcomer(own / "making")
            (own / "making").rename(made)
    shutil.copytree(made, own / "own", symlinks=True)
    return own / "own" / "repository"


@pytest.fixture(scope="session")
def finished(repository: Path) -> Path:
    """A Git and DVC repository in which the whole pipeline has run on phantoms and is committed: that of the demo."""
    return Path(shutil.copytree(repository / ".demo", repository.parent.parent / "finished", symlinks=True))


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
            "init": "random",
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
    params = ReleaseParams(rejected=0.019, calibration_images=16, strangers=2, seed=0)
    hashes = {"dataset_sha256": "data", "weights_sha256": "weights"}
    files, _ = make_release(student, train, val, predicted, params, classes=CLASSES, **hashes)
    return files


@pytest.fixture(scope="session")
def model(released: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released model in a folder with the other files of its release."""
    from cxr_distill.release.build import FP32

    folder = tmp_path_factory.mktemp("release")
    for name, content in released.items():
        (folder / name).write_bytes(content)
    return folder / FP32
