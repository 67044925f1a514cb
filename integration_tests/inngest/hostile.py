"""An app that is no SDK and no web server: what happens on its connections is up to the test."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from .stage import Stage

CHUNK = b"x" * (1 << 20)


class Endpoint:
    """Listens, and hands each connection to `answer`, in a thread of its own, once a request is there.

    `answer` takes the connection and the request. When it returns, the connection is closed.
    """

    def __init__(self, answer: Callable[[socket.socket, bytes], Any]) -> None:
        self.requests: list[bytes] = []
        self.written = 0
        self._answer = answer
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/sdk"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def write(self, connection: socket.socket, data: bytes) -> None:
        """Send, and count what the other side has taken."""
        view = memoryview(data)
        while view:
            sent = connection.send(view)
            self.written += sent
            view = view[sent:]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                connection, _ = self._listener.accept()
                self._open.add(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if request := _request(connection):
                self.requests.append(request)
                self._answer(connection, request)
        self._open.discard(connection)


def _request(connection: socket.socket) -> bytes:
    """A whole request; empty when there is none."""
    request = bytearray()
    while chunk := connection.recv(1 << 16):
        request += chunk
        start, _, body = bytes(request).partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", start, re.IGNORECASE)
        if body and length and len(body) >= int(length[1]):
            break
    return bytes(request)


def never(connection: socket.socket, request: bytes) -> None:
    """Read on, and say nothing, until the other side has had enough."""
    del request
    while connection.recv(1 << 16):
        pass


def head(status: int, *headers: str) -> bytes:
    """The head of an answer that claims to be an SDK's."""
    lines = [f"HTTP/1.1 {status} Whatever", "x-inngest-sdk: inngest-py:v0.5.18", "x-inngest-req-version: 2", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(status: int, body: bytes = b"", *headers: str) -> bytes:
    """An answer after which the connection is closed."""
    return head(status, f"content-length: {len(body)}", "connection: close", *headers) + body


def register(stage: Stage, url: str, *, name: str = "fn", retries: int = 0, **config: Any) -> str:
    """Register an app with one function, called at `url`. Returns the event that starts it."""
    app = f"{stage.app_id}-{name}"
    runtime = {"type": "http", "url": f"{url}?fnId={app}-fn&stepId=step"}
    step = {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": retries}}
    function = {"id": f"{app}-fn", "name": "fn", "triggers": [{"event": app}], "steps": {"step": step}, **config}
    body = {"appname": app, "url": url, "sdk": "py:v0.5.18", "functions": [function]}
    stage.http.post("/fn/register", json=body).raise_for_status()
    return app


def begin(stage: Stage, event: str) -> str:
    """Send an event. Returns the id of the run."""
    (event_id,) = stage.http.post("/e/key", json={"name": event}).raise_for_status().json()["ids"]
    (run,) = stage.runs_of(event_id)
    return str(run["run_id"])
