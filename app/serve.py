"""Serve app/dist on this machine alone: `python -m app.serve [PORT]`. Any other static web server works too."""

from __future__ import annotations

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from pathlib import Path

DIST = Path(__file__).resolve().parent / "dist"


TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers need, whatever types this machine has registered."""

    def guess_type(self, path: str | PathLike[str]) -> str:
        """The media type of a file, from its name."""
        return TYPES.get(Path(path).suffix) or super().guess_type(path)

    def end_headers(self) -> None:
        """Forbid stale files after a new build, guessed types, and embedding in another page."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def server(port: int, folder: Path = DIST) -> ThreadingHTTPServer:
    """A server of `folder` on loopback; port 0 takes any free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))


def main(port: str = "8000") -> None:
    """Serve until Ctrl-C."""
    try:
        running = server(int(port))
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"error: port {port}: {getattr(error, 'strerror', None) or 'no port'}; try make app PORT=8001")
    with running:
        print(f"http://127.0.0.1:{running.server_port}/ (Ctrl-C stops it)")
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main(*sys.argv[1:2])
