"""`make demo` with the tiny films of the repository in which it runs, in the foreground, where Ctrl-C works."""

import signal
import sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.path.insert(0, str(Path.cwd()))
from demo.__main__ import run  # noqa: E402

sys.exit(run("tiny", *sys.argv[1:]))
