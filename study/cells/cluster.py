"""Cells trained by the workers of a Dask cluster: of this machine, or one that exists.

A cell that was finished once is never trained again: its result lies in the store (see `store`). A worker reads the
input files itself, by path, once; it sends back logits, at most two megabytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed
from numpy.typing import NDArray
from tqdm import tqdm

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.tensors import read_tensors
from cxr_distill.nets.common.precision import AUTO
from cxr_distill.training.data import Images, read_images
from study.cells.distilled import train_distilled
from study.cells.keys import Environment, cell_key, environment, one_thread
from study.cells.network import Rows, Tensors, train_baseline
from study.cells.site import train_at_site
from study.cells.store import read_cell, write_cell
from study.cells.teacher import label_whole_images, train_teacher
from study.plan.matrix import SOFT_TARGETS
from study.plan.settings import Job, Setting, TeacherSetting, WholeSetting
from study.plan.site import SiteRows, SiteSetting

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
    """What cells are made from.

    images: film or lungs -> split -> file. soft_targets, weights: of the main pipeline's teacher. labelled: share of
    the patients -> rows (N,) of the training films that then have a label. site: number of films -> whose they are.
    """

    images: Mapping[str, Mapping[str, Input]]
    soft_targets: Input
    weights: Input
    labelled: Mapping[float, Rows]
    site: Mapping[int, SiteRows]

    def of(self, job: Job) -> dict[str, str]:
        """What a cell depends on, by name, but for another cell."""
        setting = job.setting
        if isinstance(setting, WholeSetting):
            seen = {f"{sees} train": self.images[sees]["train"].sha256 for sees in setting.teacher.sees}
            return {**seen, "weights": self.weights.sha256}
        if isinstance(setting, SiteSetting):
            rows = sha256(b"".join(each.tobytes() for each in vars(self.site[setting.films]).values())).hexdigest()
            return {**{split: self.images["film"][split].sha256 for split in ("train", "val")}, "rows": rows}
        kinds = setting.teacher.sees if isinstance(setting, TeacherSetting) else ["film"]
        hashes = {f"{sees} {split}": file.sha256 for sees in kinds for split, file in self.images[sees].items()}
        if setting.labelled < 1:
            hashes["labelled"] = sha256(self.labelled[setting.labelled].tobytes()).hexdigest()
        if job.source == SOFT_TARGETS:
            hashes[SOFT_TARGETS] = self.soft_targets.sha256
        return hashes


def keys_of(jobs: Mapping[str, Job], inputs: Inputs, where: Environment) -> dict[str, str]:
    """The key of every cell by name; that of a student covers the key of the cell that teaches it."""
    keys: dict[str, str] = {}
    for name, job in sorted(jobs.items(), key=lambda each: each[1].source in jobs):  # teachers first
        teacher = {"teacher": keys[job.source]} if job.source in keys else {}
        keys[name] = cell_key(job.setting, {**inputs.of(job), **teacher}, where)
    return keys


def train_cells(
    jobs: Mapping[str, Job], inputs: Inputs, store: Path, *, scheduler: str | None = None
) -> tuple[dict[str, Tensors], dict[str, str]]:
    """The result of every cell by name, and the `precision` and `processor` that they were trained with.

    What the store lacks is trained and kept there; a teacher before its students.

    `scheduler`: address of a Dask cluster; without one, a cluster of one-thread workers, as many as this machine has
    cores, lives for as long as it has work. A cell that fails stops no other but its students. Raises CxrError naming
    each cell that failed, or if the workers do not run this code.
    """
    with _existing(scheduler) as client:
        where = environment() if client is None else _environment_of(client)
        keys = keys_of(jobs, inputs, where)
        done = {key: cell for key in set(keys.values()) if (cell := read_cell(store, key))}
        lacking = set(keys.values()) - done.keys()
        print(f"cells: {len(done)} of {len(done) + len(lacking)} are in {store}", flush=True)
        if lacking and client is not None:
            done = _train(client, jobs, keys, done, inputs, store, where)
        elif lacking:
            with _local(min(CPU_COUNT, len(lacking))) as own:
                done = _train(own, jobs, keys, done, inputs, store, where)
    setting = next(iter(jobs.values())).setting
    precision = (setting.trainer if isinstance(setting, WholeSetting) else setting.fit.trainer).precision
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
        raise CxrError(f"the workers cannot import this code ({error}); start them with PYTHONPATH=.:src") from error
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
    jobs: Mapping[str, Job],
    keys: Mapping[str, str],
    known: Mapping[str, Tensors],
    inputs: Inputs,
    store: Path,
    where: Environment,
) -> dict[str, Tensors]:
    """The results of the cells that are not `known`, by key, the longest trained first; each is kept as it comes.

    A student starts once its teacher is known, with its logits in its task: the death of the worker that trained a
    teacher loses nothing.
    """
    lacking = {key: name for name, key in keys.items() if key not in known}
    results = dict(known)
    failed: dict[str, str] = {}
    waiting = sorted(lacking.values(), key=lambda each: -cost(jobs[each].setting))
    running, names = as_completed(loop=client.loop), {}
    logits: dict[str, Future[Tensors]] = {}

    def start_what_can() -> None:
        for name in list(waiting):
            teacher = keys.get(jobs[name].source or "")
            if teacher and teacher not in results:
                continue
            waiting.remove(name)
            if teacher and teacher not in logits:
                logits[teacher] = client.submit(dict, results[teacher], priority=1e9, pure=False)
            more = {"key": f"cell-{keys[name]}", "priority": cost(jobs[name].setting)}
            taught_by = logits[teacher] if teacher else None
            future = client.submit(train_cell, jobs[name], inputs, where, taught_by, **more)
            names[future] = name
            running.add(future)

    start_what_can()
    with tqdm(total=len(lacking), desc="cells", unit="cell") as bar:
        for future in running:
            name = names[future]
            if future.status == "finished":
                results[keys[name]] = future.result()
                write_cell(store, keys[name], results[keys[name]])
                start_what_can()
            else:
                students = [each for each in waiting if name == jobs[each].source]
                untaught = f" (no teacher for {', '.join(sorted(students))})" if students else ""
                failed[name] = f"{_reason(future)}{untaught}"
            future.release()
            bar.set_postfix_str(name)
            bar.update()
    if failed:
        raise CxrError("; ".join(f"cell {name}: {reason}" for name, reason in sorted(failed.items())))
    return results


def _reason(future: Future[Any]) -> str:
    error = future.exception()
    if isinstance(error, KilledWorker):
        return "the worker that trained it was killed again and again; is there enough memory?"
    text = " ".join(str(error).split())
    return text if isinstance(error, CxrError) else f"{type(error).__name__}: {text}"


def cost(setting: Setting) -> float:
    """About how long a cell takes, in no unit: long ones start first, so that none is left over at the end.

    Teachers, and the release from which others start, come before all students, which wait for them.
    """
    if isinstance(setting, WholeSetting):
        return 1e9
    if isinstance(setting, TeacherSetting):
        return 1e6 * setting.teacher.epochs
    if isinstance(setting, SiteSetting):
        return 1e8 if setting.films == 0 else setting.student.epochs * setting.films / 1e3
    films = setting.labelled * (1.0 if setting.fit.balance.classes else 1.9)
    return setting.student.epochs * films * sum(setting.student.channels) / setting.pool**2


def train_cell(job: Job, inputs: Inputs, where: Environment, teacher: Tensors | None = None) -> Tensors:
    """The result of one cell, made in this process on one thread; `teacher`: the result of the cell that teaches it.

    Raises CxrError if code, versions or kind of processor are not `where`, or if a file is not that of `inputs`.
    """
    if environment() != where:
        raise CxrError("its worker has other code, versions or another kind of processor; use workers of one kind")
    setting, bars = job.setting, StringIO()  # progress bars of trainings side by side are of use to nobody
    with one_thread(), redirect_stdout(bars), redirect_stderr(bars):
        if isinstance(setting, WholeSetting):
            _check(inputs.weights)
            train = {str(sees): _images(inputs.images[sees]["train"]) for sees in setting.teacher.sees}
            return label_whole_images(setting, inputs.weights.path, train)
        if isinstance(setting, SiteSetting):
            films = {split: _images(inputs.images["film"][split]) for split in ("train", "val")}
            return train_at_site(setting, films, inputs.site[setting.films], teacher)
        kinds = setting.teacher.sees if isinstance(setting, TeacherSetting) else ["film"]
        seen = {str(sees): {split: _images(each) for split, each in inputs.images[sees].items()} for sees in kinds}
        labelled = inputs.labelled[setting.labelled] if setting.labelled < 1 else None
        if isinstance(setting, TeacherSetting):
            return train_teacher(setting, seen, labelled)
        if job.source is None:
            return train_baseline(setting, seen["film"], labelled)
        return train_distilled(setting, seen["film"], teacher or {"views": _logits(inputs.soft_targets)}, labelled)


@lru_cache(maxsize=2 * len(SPLITS))  # films and lungs
def _images(file: Input) -> Images:
    _check(file)
    return read_images(file.path)


@lru_cache(maxsize=1)
def _logits(file: Input) -> NDArray[Any]:
    _check(file)
    return read_tensors(file.path)[0]["logits"]


def _check(file: Input) -> None:
    if input_of(file.path).sha256 != file.sha256:
        raise CxrError(f"{file.path} has changed, or is another file where the worker runs; run it again")
