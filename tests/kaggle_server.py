"""A Kaggle on loopback for the real client: it answers the requests that the client makes, and can misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODIFIED = "Sat, 24 Mar 2018 19:41:59 GMT"


@dataclass
class Kaggle:
    """What to serve, how to fail, and what was asked for."""

    content: bytes
    statuses: list[int] = field(default_factory=list)  # answers to the first download requests, before 302
    cuts: list[int] = field(default_factory=list)  # bytes after which the first transfers break
    ranges: list[str | None] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    downloads: list[dict] = field(default_factory=list)
    address: str = ""

    def environment(self) -> dict[str, str]:
        """Variables under which the real client talks to this server."""
        return {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "HTTP_PROXY": self.address, "http_proxy": self.address}


@contextmanager
def serving(kaggle: Kaggle) -> Iterator[Kaggle]:
    """Serve `kaggle` on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, body: bytes = b"{}", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            if self.path.endswith("IntrospectToken"):
                self.reply(200, json.dumps({"active": True, "username": "u"}).encode(), Content_Type="application/json")
                return
            kaggle.downloads.append(body)
            kaggle.authorizations.append(self.headers.get("Authorization"))
            if kaggle.statuses:
                self.reply(kaggle.statuses.pop(0), b'{"message": "secret-from-server"}')
            else:
                self.reply(302, b"", Location="http://localhost/file.zip")

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            kaggle.ranges.append(asked)
            first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            body = kaggle.content[first:]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", MODIFIED)
            self.send_header("ETag", '"one"')
            self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{len(kaggle.content) - 1}/{len(kaggle.content)}")
            self.end_headers()
            if kaggle.cuts:
                self.wfile.write(body[: kaggle.cuts.pop(0)])
                self.close_connection = True
                self.connection.close()
            else:
                self.wfile.write(body)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kaggle.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield kaggle
    finally:
        server.shutdown()
        server.server_close()
