"""Screens the film argv[2] with the model argv[1], fails at the first connection, and prints what was imported."""

import sys

sys.addaudithook(lambda event, _: event in ("socket.connect", "socket.getaddrinfo") and sys.exit(event))

from cxr_distill.screen.command import main  # noqa: E402

main(["--no-reject", "--heatmap", "maps", "--model", *sys.argv[1:]])
print(*{name.split(".")[0] for name in sys.modules})
