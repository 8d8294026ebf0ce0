"""One module per DVC stage, run as `python -m stages.NAME` from the repository's root."""

import sys
from pathlib import Path

# DVC runs experiments in temporary copies; an installed cxr_distill would shadow the copy's own code.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
