"""One module per DVC stage, run as `python -m stages.NAME` from the root, and what every stage does first and last.

A stage reads its parameters before it imports PyTorch, and ends in one line if it fails.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

import psutil
import yaml

# DVC runs experiments in temporary copies; an installed cxr_distill would shadow the copy's own code.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import ParamsT, parse

# Of addresses, not of memory: at the committed sizes 4.4 GiB, of which PyTorch's CUDA build maps most before any work.
ADDRESS_SPACE = 5 << 30
NO_MEMORY = (
    "allocate memory|out of memory|bad_alloc|failed to map segment|start new thread|could not create a primitive"
)
_SAY_NO_MEMORY = b"\nerror: out of memory; close other programs or make batch_size or image_size smaller\n"

# A thread of PyTorch that waits for its next piece of work spins. Spinning for less costs nothing alone, and leaves
# the core to whatever runs beside: two trainings at once on two cores take 1.8 times one, not 3 times.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def load_params(section: str, kind: type[ParamsT]) -> ParamsT:
    """The section (a dotted key) of ./params.yaml as `kind`. Raises CxrError if it is missing or wrong."""
    return parse(kind, _read_params(section), section)


def synthetic_data() -> bool:
    """Whether the films are drawn, so that every figure must say so."""
    return bool(_read_params("data.source") == "phantom")


def _read_params(section: str) -> Any:
    try:
        values: Any = yaml.safe_load(Path("params.yaml").read_text())
        for key in section.split("."):
            values = values[key]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CxrError(f"cannot read params.yaml: {' '.join(str(error).split())}") from error
    except (KeyError, TypeError):
        raise CxrError(f"params.yaml has no section {section}") from None
    return values


def resume_folder(name: str) -> Path:
    """Where the training of `name` leaves what it can go on from if it is killed.

    What was left there before dvc.lock was last written belongs to a run that came to its end: it is removed, so that
    `dvc repro --force` trains again.
    """
    folder, lock = Path(".resume") / name, Path("dvc.lock")
    for left in folder.glob("*"):
        if lock.exists() and left.stat().st_mtime < lock.stat().st_mtime:
            left.unlink()
    return folder


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage; whatever a user can put right becomes one line on stderr and exit status 1, Ctrl-C 130.

    Ends the process if the DVC that started it dies.
    """
    _die_with_dvc()
    try:
        _enough_address_space()
        main()
    except KeyboardInterrupt:
        _stop("interrupted; `dvc repro` goes on", status=130)
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
    # Where it ends in the middle of an import, Python 3.11 can loop for ever instead of raising MemoryError.
    limit = psutil.Process().rlimit(psutil.RLIMIT_AS)[0] if hasattr(psutil, "RLIMIT_AS") else -1
    if 0 <= limit < ADDRESS_SPACE:
        raise CxrError(
            f"memory is limited to {limit / (1 << 30):.1f} GiB of addresses (ulimit -v), and a stage takes up to "
            f"{ADDRESS_SPACE >> 30}; raise that limit, or limit the memory itself (a cgroup)"
        )


def _no_memory(error: BaseException | None) -> bool:
    # Each library words it in its own way, and wraps it in whatever it was at.
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
    # `kill -9` of dvc does not reach its children, and a training that nobody waits for blocks the next one.
    above = [process for process in psutil.Process().parents()[:2] if _is_of_dvc(process)]
    if above:
        Thread(target=_follow, args=(above[0],), daemon=True).start()


def _is_of_dvc(process: psutil.Process) -> bool:
    # Past a shell between, and from one process of a distributed training to the one that started it.
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
