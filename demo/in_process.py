"""The stages of a workspace one after another in this process, without DVC: PyTorch is imported once."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from unittest.mock import patch

from demo.workspace import Stage, stages_of


def run_stages(folder: Path, *, wanted: Callable[[Stage], bool]) -> None:
    """Call `main()` of every wanted stage of the workspace `folder`, with the code of this checkout."""
    for stage in filter(wanted, stages_of(folder)):
        module, *words = stage.command.removeprefix("python -m ").split()
        with chdir(folder), patch.object(sys, "argv", [module, *words]), patch.dict(os.environ):
            importlib.import_module(module).main()
