"""Break every kind of stage from outside, on phantoms, and check that nothing is lost: `make faults`.

A fault is a signal, a full disk, a read-only folder, a memory limit, a diverging loss or a second `dvc repro`. The
failing run must exit with another status than 0 and say why in one line. It must leave no half-written file and no
running process. The next `dvc repro` must end in the same bytes as an undisturbed run. Everything runs in a mount
namespace of its own, with real full and read-only disks.
"""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import heading, progress, run
from demo.workspace import changes, environment, make_workspace, merge

SCHEDULES = {"teacher": {"epochs": 5}, "student": {"epochs": 8}, "soft_targets": {"count": 6}}
TRAINING = {"train_teacher": "teacher", "train_baseline": "student", "distill": "student", "distill_set": "student"}
"""Stages that train, and the section of params.yaml with their learning rate."""
STARTED = "Running stage"
PAGE = 4096
FIRST_EPOCH = "Epoch 0: 100%"


def kind_of(stage: str) -> str:
    """The name of a stage in dvc.yaml: distill_set of distill_set@blog_best."""
    return stage.split("@")[0]


def copy(source: Path, target: Path) -> None:
    """Copy an output, which is a file or a folder, in place of what `target` is."""
    delete(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def delete(path: Path) -> None:
    """Delete an output, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass
class Run:
    """A `dvc repro` of one stage: its process and everything that it printed."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Repository:
    """A finished pipeline in which one stage at a time is made to run again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_workspace(folder, merge(changes("tiny"), SCHEDULES))
        (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n    autostage = false\n")
        self.params = (folder / "params.yaml").read_text()
        begun = self.start("")
        if begun.process.wait():
            sys.exit(begun.output())
        self.lock: dict[str, Any] = yaml.safe_load((folder / "dvc.lock").read_text())
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}

    def stages(self) -> list[str]:
        """One stage of each kind: of those that `foreach` makes, the first."""
        kinds: dict[str, str] = {}
        for stage in self.lock["stages"]:
            kinds.setdefault(kind_of(stage), stage)
        return list(kinds.values())

    def folder_of(self, stage: str) -> str:
        """The folder of the stage's largest output, which does not fit on a full disk."""
        largest = max(self.lock["stages"][stage]["outs"], key=lambda out: out["size"])
        return str(Path(largest["path"]).parent)

    def start(self, stage: str, **more: Any) -> Run:
        """`dvc repro` of `stage` alone (or of all, if empty), in a process group of its own."""
        log = self.folder / "log.txt"
        command = ["dvc", "repro", *(["--single-item", stage] if stage else [])]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment(), stdout=file, stderr=file, start_new_session=True, **more
            )
        return Run(process, log)

    def forget(self, stage: str) -> None:
        """As if `stage` had never run: no lock entry, no outputs, no run cache, no checkpoint."""
        self.recover_files()
        lock = {**self.lock, "stages": {name: entry for name, entry in self.lock["stages"].items() if name != stage}}
        (self.folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        for out in self.lock["stages"][stage]["outs"]:
            delete(self.folder / out["path"])
        for folder in (".dvc/cache/runs", ".resume"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)

    def recover_files(self) -> None:
        (self.folder / "params.yaml").write_text(self.params)
        (self.folder / "dvc.lock").write_text(yaml.safe_dump(self.lock, sort_keys=False))
        subprocess.run(["dvc", "checkout", "-f", "-q"], cwd=self.folder, env=environment(), check=True)
        for entry in self.lock["stages"].values():
            for out in entry["outs"]:  # not in the cache: metrics, curves and reports
                kept = self.folder.parent / "kept" / out["path"]
                if kept.exists():
                    copy(kept, self.folder / out["path"])

    def keep(self) -> None:
        for entry in self.lock["stages"].values():
            for out in entry["outs"]:
                copy(self.folder / out["path"], self.folder.parent / "kept" / out["path"])

    def measure(self, stage: str) -> None:
        """Measure the stage's time, so that signals hit the stage and not dvc before or after it, and its memory."""
        self.forget(stage)
        run = self.start(stage)
        self.wait_for_stage(run)
        begun = time.monotonic()
        self.memory[stage], self.seconds[stage] = 0, 0.0
        while run.process.poll() is None:
            if process := stage_process(self):
                self.seconds[stage] = time.monotonic() - begun
                with suppress(psutil.Error):
                    self.memory[stage] = max(self.memory[stage], process.memory_info().vms)
            time.sleep(0.05)

    def wait_for_stage(self, run: Run) -> None:
        while STARTED not in run.output() and run.process.poll() is None:
            time.sleep(0.02)

    def processes(self) -> list[psutil.Process]:
        """Every process that works in this repository."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def half_written(self) -> list[str]:
        return [str(path) for path in self.folder.rglob("*.part") if ".dvc" not in path.parts]

    def same_bytes(self, stage: str) -> bool:
        now = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"].get(stage, {})
        return bool(now.get("outs") == self.lock["stages"][stage]["outs"])


Fault = Callable[[Repository, str, random.Random], str]
"""Causes a fault, waits for the end of the run and returns its output; AssertionError if the run did not fail."""


def ended(run: Run, *, within: float = 300) -> str:
    try:
        assert run.process.wait(within) != 0, "exit status 0"
    except subprocess.TimeoutExpired:
        os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()  # DVC takes a process that nobody waited for as one that still works in the repository
        raise AssertionError("it hangs") from None
    return run.output()


def at_some_moment(repository: Repository, stage: str, chance: random.Random) -> Run:
    latest = 0.6 * repository.seconds[stage]
    while True:
        run = repository.start(stage)
        repository.wait_for_stage(run)
        time.sleep(chance.uniform(0.1 * latest, latest))
        if stage_process(repository) is not None:
            return run
        run.process.wait()  # it was faster than when it was measured
        repository.forget(stage)
        latest /= 2


def stage_process(repository: Repository) -> psutil.Process | None:
    for process in repository.processes():
        with suppress(psutil.Error):
            if "-m" in process.cmdline() and "python" in Path(process.cmdline()[0]).name:
                return process
    return None


def kill_stage(repository: Repository, stage: str, chance: random.Random) -> str:
    run = at_some_moment(repository, stage, chance)
    process = stage_process(repository)
    assert process is not None, "the stage was over before the signal"
    process.kill()
    return ended(run)


def kill_dvc(repository: Repository, stage: str, chance: random.Random) -> str:
    run = at_some_moment(repository, stage, chance)
    run.process.kill()
    output = ended(run)
    deadline = time.monotonic() + 5
    while repository.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not repository.processes(), "a process outlives its dvc"
    return output


def interrupt(repository: Repository, stage: str, chance: random.Random) -> str:
    run = at_some_moment(repository, stage, chance)
    os.killpg(run.process.pid, signal.SIGINT)
    return ended(run)


def on_small_disk(repository: Repository, folder: str, options: str, action: Callable[[], str]) -> str:
    """`action` while `folder` lies on a disk of its own with at most a page to spare, or none to write on."""
    target = repository.folder / folder
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(target, aside, dirs_exist_ok=True)
        blocks = sum(-(-file.stat().st_size // PAGE) for file in target.rglob("*") if file.is_file()) + 1
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={blocks * PAGE}", "tmpfs", str(target)], check=True)
        try:
            shutil.copytree(aside, target, dirs_exist_ok=True)
            if options:
                subprocess.run(["mount", "-o", f"remount,{options}", str(target)], check=True)
            return action()
        finally:
            subprocess.run(["umount", "--lazy", str(target)], check=True)


def full_disk(repository: Repository, stage: str, _: random.Random) -> str:
    return on_small_disk(repository, repository.folder_of(stage), "", lambda: ended(repository.start(stage)))


def read_only(repository: Repository, stage: str, _: random.Random) -> str:
    return on_small_disk(repository, repository.folder_of(stage), "ro", lambda: ended(repository.start(stage)))


def no_room_to_resume(repository: Repository, stage: str, _: random.Random) -> str:
    return on_small_disk(repository, ".resume", "", lambda: ended(repository.start(stage)))


def little_memory(repository: Repository, stage: str, _: random.Random) -> str:
    limit = repository.memory[stage] // 2
    return ended(repository.start(stage, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit))))


def memory_runs_out(repository: Repository, stage: str, _: random.Random) -> str:
    run = repository.start(stage)
    while FIRST_EPOCH not in run.output() and run.process.poll() is None:
        time.sleep(0.01)
    process = stage_process(repository)
    assert process is not None, "the stage was over before the limit"
    limit = process.memory_info().vms + PAGE
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
    return ended(run)


def diverging(repository: Repository, stage: str, _: random.Random) -> str:
    section = TRAINING[kind_of(stage)]
    params = merge(yaml.safe_load(repository.params), {section: {"learning_rate": 1e30}})
    (repository.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    output = ended(repository.start(stage))
    (repository.folder / "params.yaml").write_text(repository.params)
    return output


def twice(repository: Repository, stage: str, _: random.Random) -> str:
    first = repository.start(stage)
    repository.wait_for_stage(first)
    second = subprocess.run(
        ["dvc", "repro", "--single-item", stage],
        cwd=repository.folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert second.returncode != 0, "a second dvc repro ran beside the first"
    assert first.process.wait() == 0, "the first one failed"
    return second.stdout + second.stderr


FAULTS: dict[str, Fault] = {
    "kill -9 of the stage": kill_stage,
    "kill -9 of dvc": kill_dvc,
    "Ctrl-C": interrupt,
    "disk full": full_disk,
    "read-only folder": read_only,
    "memory limited to half of what it takes": little_memory,
    "two dvc repro at once": twice,
}
TRAINING_FAULTS: dict[str, Fault] = {
    "no room for checkpoints": no_room_to_resume,
    "memory runs out after an epoch": memory_runs_out,
    "loss is NaN": diverging,
}


def said(output: str) -> str:
    found = re.findall(r"error: [^\r\n]+", output) or re.findall(r"ERROR: [^\r\n]+", output)
    return found[0].strip() if found else ""


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    chance = random.Random(0)
    wanted = sys.argv[1:]
    rows, lost, unclear = [], 0, 0
    with tempfile.TemporaryDirectory(prefix="cxr-faults-") as place:
        repository = Repository(Path(place) / "repo")
        repository.keep()
        for stage in repository.stages():
            faults = {**FAULTS, **(TRAINING_FAULTS if kind_of(stage) in TRAINING else {})}
            faults = {name: fault for name, fault in faults.items() if not wanted or name in wanted or stage in wanted}
            if faults:
                repository.measure(stage)
            for name, fault in faults.items():
                repository.forget(stage)
                problem, why, output = "", "", ""
                try:
                    output = fault(repository, stage, chance)
                    why = said(output)
                    assert "Traceback" not in output, "a traceback"
                    assert why or name.startswith("kill"), "nothing says why"
                except AssertionError as error:
                    problem = str(error)
                half = repository.half_written() if name[:4] != "kill" else []
                again = repository.start(stage)
                recovered = again.process.wait() == 0
                equal = recovered and repository.same_bytes(stage) and not repository.half_written()
                good = not problem and not half and recovered and equal
                lost += not (recovered and equal)
                unclear += bool(problem or half)
                rows.append((name, stage, problem or "yes", "yes" if recovered else "NO", "yes" if equal else "NO"))
                progress(f"{'ok ' if good else 'BAD'} {stage:22} {name:36} {problem or why[:110]}")
                if not good:
                    progress("\n".join([*half, *output.splitlines()[-15:], *again.output().splitlines()[-15:]]))
    print(heading(f"{len(rows)} faults, {lost} with lost work, {unclear} without one clear error", level=1))
    print("| injected | stage | detected | recovered | bytes equal |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 1 if lost or unclear else 0


if __name__ == "__main__":
    run(main)
