"""A web hook on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0000-secret-path"


class Hook:
    """A web hook that answers with the given statuses in turn, the last of them for ever."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.seconds = 0.0
        self.received: list[tuple[dict[str, str], Any]] = []
        self.released = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.received.append((dict(self.headers), json.loads(body)))
                hook.released.wait(hook.seconds)
                status = hook.statuses[min(len(hook.received), len(hook.statuses)) - 1]
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"/{SECRET}-elsewhere")
                self.end_headers()
                self.wfile.write(SECRET.encode())

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{SECRET}?sig={SECRET}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def listening() -> Iterator[Hook]:
    """Yields a web hook that listens within the block."""
    hook = Hook()
    try:
        yield hook
    finally:
        hook.close()
