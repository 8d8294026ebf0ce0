"""How a stage runs and ends: errors in one line, Ctrl-C, too little memory, and the death of the DVC above it."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import NoReturn

import psutil

from cxr_distill.base.errors import CxrError

INTERRUPTED = "interrupted; `dvc repro` goes on"


def _one_line_if_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Ctrl-C while a stage still imports its modules, before `run` is there to catch it.
    if issubclass(kind, KeyboardInterrupt):
        print(f"error: {INTERRUPTED}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _one_line_if_interrupted

# Addresses, not memory. The committed sizes need 4.4 GiB; PyTorch's CUDA build maps most of it when it is imported.
ADDRESS_SPACE = 5 << 30
NO_MEMORY = (
    "allocate memory|out of memory|bad_alloc|failed to map segment|start new thread|could not create a primitive"
)
_SAY_NO_MEMORY = b"\nerror: out of memory; close other programs or make batch_size or image_size smaller\n"

# A thread of PyTorch spins while it waits for its next piece of work. A shorter spin leaves the core to other programs:
# two trainings at once on two cores take 1.8 times the time of one, not 3 times.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage. An error that a user can correct becomes one line on stderr and exit status 1; Ctrl-C gives 130.

    Ends the process if the DVC that started it dies.
    """
    _die_with_dvc()
    try:
        _enough_address_space()
        main()
    except KeyboardInterrupt:
        _stop(INTERRUPTED, status=130)
    except Exception as error:
        if _no_memory(error):
            os.write(2, _SAY_NO_MEMORY)  # ready-made: there may be no memory to make it
            os._exit(1)
        if isinstance(error, CxrError):
            _stop(str(error))
        if not isinstance(error, OSError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        _stop(f"{error.filename or 'a file'}: {error.strerror or error}{'; free some space' if full else ''}")
    sys.exit(0)


def _enough_address_space() -> None:
    # Python 3.11 can loop for ever, instead of raising MemoryError, if addresses run out during an import.
    limit = psutil.Process().rlimit(psutil.RLIMIT_AS)[0] if hasattr(psutil, "RLIMIT_AS") else -1
    if 0 <= limit < ADDRESS_SPACE:
        raise CxrError(
            f"memory is limited to {limit / (1 << 30):.1f} GiB of addresses (ulimit -v), and a stage takes up to "
            f"{ADDRESS_SPACE >> 30}; raise that limit, or limit the memory itself (a cgroup)"
        )


def _no_memory(error: BaseException | None) -> bool:
    # Each library has its own words for it, and its own exceptions around it.
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if re.search(NO_MEMORY, str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _stop(reason: str, status: int = 1) -> NoReturn:
    end_of_bar = "\n" if "tqdm" in sys.modules else ""
    print(f"{end_of_bar}error: {reason}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)  # exit handlers of libraries fail where memory has run out, after this line


def _die_with_dvc() -> None:
    # `kill -9` of dvc does not reach its children, and a training that nobody waits for slows the next one.
    above = [process for process in psutil.Process().parents()[:2] if _is_of_dvc(process)]
    if above:
        Thread(target=_follow, args=(above[0],), daemon=True).start()


def _is_of_dvc(process: psutil.Process) -> bool:
    # There may be a shell between; in distributed training, the parent is the process that started this one.
    try:
        return any(Path(word).name == "dvc" or word.startswith("stages.") for word in process.cmdline()[:4])
    except psutil.Error:
        return False


def _follow(process: psutil.Process) -> None:
    try:
        process.wait()
    except psutil.Error:
        return
    os.kill(os.getpid(), signal.SIGKILL)
