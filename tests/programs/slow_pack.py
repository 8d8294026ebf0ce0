"""cxr-pack, except that each film waits, so that a signal comes in the middle."""

import signal
import sys
import time
from typing import Any

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

from cxr_distill.site import pack, pack_command  # noqa: E402

store = pack._store


def slow_store(*film: Any) -> None:
    time.sleep(0.1)
    store(*film)


pack._store = slow_store
sys.exit(pack_command.main(sys.argv[1:]))
