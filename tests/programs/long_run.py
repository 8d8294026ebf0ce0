"""Does the long run with its checkpoints in the folder argv[1], and writes what came of it into the file argv[2]."""

import sys
from pathlib import Path

from small_training import long_run

Path(sys.argv[2]).write_bytes(long_run(Path(sys.argv[1])))
