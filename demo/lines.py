"""`dvc repro` as one line a stage; all that DVC and the stages say goes to a log file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from demo.workspace import environment, stages_of

STARTS = re.compile(r"Running stage '([^']+)'")
ENDS_AT_ONCE = re.compile(r"Stage '([^']+)' (didn't change|is cached)")
LAST_LINES = 12
PATIENCE = 10.0  # seconds for DVC to end after Ctrl-C, before it is killed


class Lines:
    """Prints `[5/15] train_teacher   what it does   38 s`: the time follows when the stage has ended."""

    def __init__(self, descriptions: Mapping[str, str]) -> None:
        self._descriptions = descriptions
        self._width = max(map(len, descriptions)) + 2
        self._begun: float | None = None
        self._count = 0

    def read(self, line: str) -> None:
        """Take one line of DVC's output."""
        if found := STARTS.search(line):
            self.end()
            self._say(found[1])
            self._begun = time.monotonic()
        elif found := ENDS_AT_ONCE.search(line):
            self.end()
            self._say(found[1])
            print("  done before" if found[2] == "is cached" else "  unchanged", flush=True)

    def end(self, how: str = "") -> None:
        """The stage that runs, if any, has ended, or has ended as `how` says."""
        if self._begun is not None:
            print(how or f"{time.monotonic() - self._begun:6.0f} s", flush=True)
            self._begun = None

    def _say(self, name: str) -> None:
        self._count += 1
        of = len(self._descriptions)
        number = f"[{self._count:{len(str(of))}}/{of}]"
        print(f"{number} {name:<{self._width}}{self._descriptions.get(name, ''):<58}", end="", flush=True)


def run_dvc(folder: Path, log: Path, *, show_all: bool) -> str | None:
    """Run `dvc repro` in the workspace `folder`; None, or the last lines of what failed.

    On stdout one line a stage; `show_all`: everything as it comes. `log` has everything. After Ctrl-C, DVC has ended
    before KeyboardInterrupt leaves this function.
    """
    lines = Lines({stage.name: stage.description for stage in stages_of(folder)})
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    said: list[str] = []
    rest, shown = b"", b"\n"
    try:
        with log.open("wb", buffering=0) as file:
            while part := os.read(process.stdout.fileno(), 1 << 16):
                file.write(part)
                if show_all:
                    shown = part
                    sys.stdout.buffer.write(part)
                    sys.stdout.buffer.flush()
                    continue
                *whole, rest = (rest + part).split(b"\n")
                for line in (each.decode(errors="replace") for each in whole):
                    if STARTS.search(line):
                        said.clear()
                    said.append(line)
                    lines.read(line)
    except KeyboardInterrupt:
        lines.end("  stopped")
        if not shown.endswith(b"\n"):  # a progress bar stands there
            print(flush=True)
        _wait(process)
        raise
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.wait() == 0:
        lines.end()
        return None
    lines.end("  failed")
    return "" if show_all else "\n".join(_last([*said, rest.decode(errors="replace")]))


def _wait(process: subprocess.Popen[bytes]) -> None:
    # Ctrl-C on a terminal has reached DVC and its stage too, which end by themselves. A stage dies with its DVC.
    try:
        process.wait(PATIENCE)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def _last(lines: list[str]) -> list[str]:
    # Of a progress bar, what stood there last.
    shown = [line.rsplit("\r", 1)[-1].rstrip() for line in lines]
    return [line for line in shown if line][-LAST_LINES:]
