"""`python -m demo`: what `make demo` runs. Ctrl-C ends in one line, also while the demo's own modules are imported."""

from __future__ import annotations

import signal
import sys


def run(*words: str) -> int:
    """The command with these words; returns its exit status, 130 after Ctrl-C."""
    try:
        from demo import command  # here, where Ctrl-C is caught

        return command.run(*words)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C would break the line
        print("error: interrupted; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
