"""Speed and faults, measured from outside: run each as `python -m benchmarks.NAME`."""

import stages  # noqa: F401  (puts src/ on the path)
