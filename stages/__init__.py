"""One module per DVC stage, run as `python -m stages.NAME` from the root.

A stage reads its parameters (`params`) before it imports PyTorch, and ends in one line if it fails (`running`). A
training goes on where it was killed (`resuming`).
"""

import sys
from pathlib import Path

# DVC runs experiments in temporary copies; an installed cxr_distill would shadow the copy's own code.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import stages.running  # noqa: F401  # before anything large is imported: from here on Ctrl-C is one line
