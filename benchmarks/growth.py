"""Time and memory of each stage as the data set grows: `python -m benchmarks.growth ARCHIVE.zip`.

The data set is 1, 2, 4 and 8 copies of the archive. Each copy has patients of its own, and its films are shifted and
compressed again, so that there are no duplicates. Each stage runs in a process of its own, as under DVC, with one
epoch, one view and few resamples.

A stage's time on a sixteenth of the archive counts as its start-up and is subtracted. The rest is divided by the number
of additional images. A stage runs on all sizes in turn, so that other work on the machine affects all of them. Short
stages run in several rounds, and the fastest counts: other work can only add time.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import yaml
from PIL import Image

from benchmarks import archive_argument, heading, progress, run
from cxr_distill.base.errors import CxrError
from cxr_distill.data.archive import Entry, list_images, open_archive, read_entry
from demo.workspace import ROOT, environment, make_workspace

SIZES = (1 / 16, 1, 2, 4, 8)
MOST_ROUNDS = 5
ENOUGH_SECONDS = 300  # after so long in one stage no further round begins
STAGES = (
    "preprocess",
    "find_lungs",
    "cut_lungs",
    "train_teacher",
    "soft_targets",
    "train_baseline",
    "distill",
    "evaluate distilled",
)
ONE_OF_EACH = {
    "lungs": {"epochs": 1},
    "teacher": {"epochs": 1},
    "student": {"epochs": 1},
    "soft_targets": {"count": 1},
    "evaluate": {"bootstrap_resamples": 100},
}


def name_of(entry: Entry, number: int) -> str:
    """The entry's file name in copy `number`, whose patients have numbers of their own."""
    folder, _, name = entry.info.filename.rpartition("/")
    for start in ("person", "NORMAL2-IM-", "IM-"):
        if name.startswith(start):
            return f"{folder}/{start}{number}0{name.removeprefix(start)}"
    raise ValueError(name)


def another(content: bytes, number: int) -> bytes:
    """The picture, `number` columns further to the right."""
    with Image.open(io.BytesIO(content)) as image:
        shifted = Image.fromarray(np.roll(np.asarray(image.convert("L")), number, axis=1))
    file = io.BytesIO()
    shifted.save(file, "JPEG", quality=90)
    return file.getvalue()


def write_grown(archive: Path, target: Path, times: float) -> dict[str, dict[str, int]]:
    """Write `times` copies of `archive` to `target`; returns the images per folder."""
    counts: Counter[tuple[str, str]] = Counter()
    with open_archive(archive) as source, ZipFile(target, "w") as grown:
        entries = list_images(source, {})
        if times < 1:
            entries = [entry for entry in entries if entry.folder == "val"] + entries[:: round(1 / times)]
            entries = list({entry.file: entry for entry in entries}.values())
        for entry in entries:
            content = read_entry(source, entry)
            for number in range(max(1, round(times))):
                grown.writestr(name_of(entry, number), another(content, number) if number else content)
                counts[entry.folder, entry.label] += 1
    folders: dict[str, dict[str, int]] = {}
    for (folder, label), count in counts.items():
        folders.setdefault(folder, {})[label] = count
    return folders


def measure_once(stage: str, workspace: Path) -> tuple[float, float]:
    """Seconds and peak memory in GB of a stage in a process of its own."""
    begun = time.perf_counter()
    log = workspace / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *f"stages.{stage}".split()],
            cwd=workspace,
            env=environment(),
            stdout=file,
            stderr=file,
        )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise CxrError(f"stages.{stage} failed: {log.read_text(errors='replace').strip().splitlines()[-1]}")
    return time.perf_counter() - begun, usage.ru_maxrss * 1024 / 1e9


def make_grown(archive: Path, times: float, workspace: Path) -> int:
    """Make a workspace with `times` copies of `archive`; returns the number of images."""
    zip_file = workspace / "data/raw/chest-xray-pneumonia.zip"
    zip_file.parent.mkdir(parents=True)
    expected = write_grown(archive, zip_file, times)
    make_workspace(workspace, {**ONE_OF_EACH, "data": {"expected_counts": expected}})
    return sum(sum(labels.values()) for labels in expected.values())


def measure(stage: str, workspaces: list[Path]) -> tuple[list[float], list[float], int]:
    """Least seconds and highest peak memory in GB for each workspace, and the number of rounds."""
    seconds: list[list[float]] = [[] for _ in workspaces]
    memory: list[list[float]] = [[] for _ in workspaces]
    for _ in range(MOST_ROUNDS):
        for workspace, readings, peaks in zip(workspaces, seconds, memory, strict=True):
            shutil.rmtree(workspace / ".resume", ignore_errors=True)
            once = measure_once(stage, workspace)
            readings.append(once[0])
            peaks.append(once[1])
        if sum(map(sum, seconds)) >= ENOUGH_SECONDS:
            break
    return [min(readings) for readings in seconds], [max(peaks) for peaks in memory], len(seconds[0])


def main() -> None:
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    archive = archive_argument()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        workspaces = [Path(folder) / f"{number}" for number in range(len(SIZES))]
        images = [make_grown(archive, times, workspace) for times, workspace in zip(SIZES, workspaces, strict=True)]
        for stage in STAGES:
            seconds, memory, rounds = measure(stage, workspaces)
            each = [1000 * (s - seconds[0]) / (n - images[0]) for s, n in zip(seconds[1:], images[1:], strict=True)]
            for number, cost in enumerate(each, start=1):
                cells = [stage, rounds, SIZES[number], images[number], f"{seconds[number]:.1f}", f"{cost:.2f}"]
                cells += [f"{cost / each[0]:.2f}", f"{memory[number]:.2f}"]
                rows.append(f"| {' | '.join(map(str, cells))} |")
                progress(rows[-1])
    print(heading(f"Growth, {params['preprocess']['image_size']} px, start-up measured on {images[0]} images"))
    print("| stage | rounds | times | images | seconds | ms per image | against 1x | peak GB |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows), end="\n\n")


if __name__ == "__main__":
    run(main)
