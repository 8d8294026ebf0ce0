"""Cells trained by the workers of a Dask cluster: of this machine, or one that exists.

A cell that was finished once is never trained again: its result lies in the store (see `store`). A worker reads the
input files itself, by path, once; it sends back logits, a few kilobytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
import numpy as np
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed
from numpy.typing import NDArray
from tqdm import tqdm

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.tensors import read_tensors
from cxr_distill.nets.common.precision import AUTO, resolved
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.study.cells.keys import Environment, cell_key, environment, one_thread
from cxr_distill.study.cells.network import Tensors, train_alone
from cxr_distill.study.cells.store import read_cell, write_cell
from cxr_distill.study.cells.taught import train_taught, whole_targets
from cxr_distill.study.params import Setting
from cxr_distill.training.data import Images

SPLITS = ("train", "val", "test")
PATIENCE = 60  # seconds for the first worker of an existing cluster to appear


@dataclass(frozen=True)
class Input:
    """A file that workers read, and the SHA-256 that it must have."""

    path: Path
    sha256: str


def input_of(path: Path) -> Input:
    """The file as it is now. Raises CxrError if it cannot be read."""
    try:
        return Input(path.resolve(), file_sha256(path))
    except OSError as error:
        raise CxrError(f"cannot read {path}: {error.strerror or error}; run `dvc repro` in the root") from error


@dataclass(frozen=True)
class Inputs:
    """What cells are made from: the tensors of each split, soft targets of views, and the teacher for whole images."""

    splits: Mapping[str, Input]
    soft_targets: Input
    teacher: Input
    teacher_params: TeacherParams

    def of(self, setting: Setting) -> dict[str, str]:
        """What a cell of this setting depends on, by name."""
        hashes = {split: self.splits[split].sha256 for split in SPLITS}
        if setting.teacher == "views":
            hashes["soft_targets"] = self.soft_targets.sha256
        elif setting.teacher:
            hashes |= {"teacher": self.teacher.sha256, "batch_size": str(self.teacher_params.batch_size)}
        return hashes


def train_cells(
    settings: Mapping[str, Setting], inputs: Inputs, store: Path, *, scheduler: str | None = None
) -> tuple[dict[str, Tensors], dict[str, str]]:
    """The result of every cell by name, and the `precision` and `processor` that they were trained with.

    What the store lacks is trained and kept there.

    `scheduler`: address of a Dask cluster; without one, a cluster of one-thread workers, as many as this machine has
    cores, lives for as long as it has work. A cell that fails does not stop the others. Raises CxrError naming each
    cell that failed, or if the workers do not run this code.
    """
    with _existing(scheduler) as client:
        where = environment() if client is None else _environment_of(client)
        keys = {name: cell_key(setting, inputs.of(setting), where) for name, setting in settings.items()}
        done = {key: cell for key in set(keys.values()) if (cell := read_cell(store, key))}
        lacking = {key: name for name, key in keys.items() if key not in done}
        print(f"cells: {len(done)} of {len(done) + len(lacking)} are in {store}", flush=True)
        if lacking and client is not None:
            done |= _train(client, lacking, settings, inputs, store, where)
        elif lacking:
            with _local(min(CPU_COUNT, len(lacking))) as own:
                done |= _train(own, lacking, settings, inputs, store, where)
    precision = {setting.trainer.precision for setting in settings.values()}.pop()
    trained = {"precision": where["auto"] if precision == AUTO else precision, "processor": where["processor"]}
    return {name: done[key] for name, key in keys.items()}, trained


@contextmanager
def _existing(scheduler: str | None) -> Iterator[Client | None]:
    if scheduler is None:
        yield None
        return
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CxrError(f"no Dask scheduler answers at {scheduler}: {' '.join(str(error).split())}") from error
    with client:
        yield client


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    # Nothing of it is reachable from another machine, and it leaves nothing behind.
    quiet = {"distributed.scheduler.worker-saturation": 1.0, "distributed.scheduler.http.routes": []}
    with (
        dask.config.set(quiet),
        TemporaryDirectory(prefix="cxr-cells-") as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,  # the system's own limit is enough: a worker holds the images and one small network
            local_directory=folder,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _environment_of(client: Client) -> Environment:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
        found = list(client.run(environment).values())
    except TimeoutError:
        raise CxrError(f"the cluster at {client.scheduler.address} has no workers; start some") from None
    except ImportError as error:
        raise CxrError(f"the workers cannot import this code ({error}); start them with PYTHONPATH=src") from error
    return common_environment(found, environment())


def common_environment(workers: list[Environment], own: Environment) -> Environment:
    """What all workers run. Raises CxrError if they differ, or run other code than this process."""
    if any(one != workers[0] for one in workers):
        raise CxrError("the workers differ in code, versions or kind of processor; use workers of one kind")
    if workers[0]["code"] != own["code"]:
        raise CxrError("the workers have loaded other code than this; restart them from this checkout")
    return workers[0]


def _train(
    client: Client,
    lacking: Mapping[str, str],
    settings: Mapping[str, Setting],
    inputs: Inputs,
    store: Path,
    where: Environment,
) -> dict[str, Tensors]:
    """The results of the cells `lacking` (key -> name) by key, the longest trained first; each is kept as it comes."""
    whole = [name for name in lacking.values() if settings[name].teacher in ("eval", "train")]
    targets = None
    if whole:
        precision = settings[whole[0]].trainer.precision
        targets = client.submit(label_whole_images, inputs, precision, where, priority=1e9, pure=False)
    futures = {
        client.submit(
            train_cell,
            settings[name],
            inputs,
            where,
            targets if name in whole else None,
            key=f"cell-{key}",
            priority=cost(settings[name]),
        ): (key, name)
        for key, name in sorted(lacking.items(), key=lambda each: -cost(settings[each[1]]))
    }
    done: dict[str, Tensors] = {}
    failed: dict[str, str] = {}
    with tqdm(total=len(futures), desc="cells", unit="cell") as bar:
        for future in as_completed(futures, loop=client.loop):
            key, name = futures[future]
            if future.status == "finished":
                done[key] = future.result()
                write_cell(store, key, done[key])
            else:
                failed[name] = _reason(future)
            future.release()
            bar.set_postfix_str(name)
            bar.update()
    if failed:
        raise CxrError("; ".join(f"cell {name}: {reason}" for name, reason in sorted(failed.items())))
    return done


def _reason(future: Future[Any]) -> str:
    error = future.exception()
    if isinstance(error, KilledWorker):
        return "the worker that trained it was killed again and again; is there enough memory?"
    text = " ".join(str(error).split())
    return text if isinstance(error, CxrError) else f"{type(error).__name__}: {text}"


def cost(setting: Setting) -> float:
    """About how long a cell takes, in no unit: long ones start first, so that none is left over at the end."""
    images = 1.0 if setting.balance.classes else 1.9
    return setting.student.epochs * images / setting.pool**2


def train_cell(
    setting: Setting,
    inputs: Inputs,
    where: Environment,
    whole: Mapping[str, NDArray[np.float32]] | None = None,
) -> Tensors:
    """Train one cell in this process, on one thread; `whole`: what `label_whole_images` gives, where it is needed.

    Raises CxrError if code, versions or kind of processor are not `where`.
    """
    with _as_expected(where):
        images = {split: _images(inputs.splits[split]) for split in SPLITS}
        if setting.teacher is None:
            return train_alone(setting, images)
        if whole is None:
            return train_taught(setting, images, _logits(inputs.soft_targets)[: setting.view_count])
        return train_taught(setting, images, whole[setting.teacher][None])


def label_whole_images(inputs: Inputs, precision: str, where: Environment) -> dict[str, NDArray[np.float32]]:
    """The teacher's logits (N, 3) for whole training images, by mode of its BatchNorm; otherwise as `train_cell`."""
    with _as_expected(where):
        _check(inputs.teacher)
        pixels = _images(inputs.splits["train"]).pixels
        return whole_targets(inputs.teacher_params, inputs.teacher.path, pixels, precision=resolved(precision))


@contextmanager
def _as_expected(where: Environment) -> Iterator[None]:
    if environment() != where:
        raise CxrError("its worker has other code, versions or another kind of processor; use workers of one kind")
    with one_thread(), redirect_stdout(StringIO()):  # the bars of trainings side by side are of use to nobody
        yield


@lru_cache(maxsize=len(SPLITS))
def _images(file: Input) -> Images:
    _check(file)
    tensors, _ = read_tensors(file.path)
    return Images(tensors["images"], tensors["labels"])


@lru_cache(maxsize=1)
def _logits(file: Input) -> NDArray[Any]:
    _check(file)
    return read_tensors(file.path)[0]["logits"]


def _check(file: Input) -> None:
    if input_of(file.path).sha256 != file.sha256:
        raise CxrError(f"{file.path} has changed, or is another file where the worker runs; run it again")
