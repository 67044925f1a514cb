"""A call: its request, and what is answered."""

import zlib
from collections.abc import Callable

from steprig.durabletask.grpc_server import headers
from steprig.durabletask.grpc_server.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from steprig.durabletask.grpc_server.headers import Head
from steprig.durabletask.grpc_server.sending import Sender

INTERNAL, UNIMPLEMENTED = 13, 12
"""Codes of statuses."""

_PREFIX = 5
_ANY_ZLIB = 47
"""`zlib.decompressobj` finds out by itself whether it is gzip or zlib."""


class RequestError(Exception):
    """A request that cannot be read; `status` is the code of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Call:
    """A call of a method. On the server's loop alone.

    Args:
        number: Of its stream.
        head: Its headers.
        sender: Of its connection.
        ended: Called when all was answered.
    """

    __slots__ = (
        "_body",
        "_ended",
        "_has_headers",
        "_sender",
        "_trailers",
        "head",
        "is_over",
        "is_received",
        "number",
        "on_cancel",
        "on_ready",
        "window",
    )

    def __init__(self, number: int, head: Head, sender: Sender, ended: Callable[["Call"], None]) -> None:
        self.number = number
        self.head = head
        self.window = sender.initial_window
        self.is_received = False
        """True once the request has come as a whole."""
        self.is_over = False
        """True once the answer is complete, or nobody is there any more to take it."""
        self.on_cancel: Callable[[], None] | None = None
        """Called when the client wants no more, or is gone."""
        self.on_ready: Callable[[], None] | None = None
        """Called when all that was sent is on its way, if something had to wait."""
        self._body: list[bytes] = []
        self._sender = sender
        self._ended = ended
        self._has_headers = False
        self._trailers: bytes | None = None

    # --- The request ----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take in a part of the body."""
        self._body.append(data)

    def request(self) -> bytes:
        """The one message of the body.

        Raises:
            RequestError: There is none, or more than one, or it is compressed in a way that is not known.
        """
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        if not body:
            raise RequestError(UNIMPLEMENTED, "the call has no request message; exactly one was expected")
        size = int.from_bytes(body[1:_PREFIX], "big")
        if len(body) < _PREFIX or len(body) != _PREFIX + size:
            raise RequestError(INTERNAL, f"{len(body)} bytes are not exactly one message, which says it has {size}")
        return self._decompressed(body[_PREFIX:]) if body[0] else body[_PREFIX:]

    def _decompressed(self, message: bytes) -> bytes:
        if self.head.encoding not in ("gzip", "deflate"):
            raise RequestError(UNIMPLEMENTED, f"the encoding '{self.head.encoding}' is none of gzip and deflate")
        try:
            return zlib.decompress(message, _ANY_ZLIB)
        except zlib.error as error:
            raise RequestError(INTERNAL, f"the message is not compressed by {self.head.encoding}: {error}") from error

    # --- The answer -----------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """True when what is sent next goes out at once."""
        return not (self.is_over or self._sender.is_paused or self._sender.is_waiting(self))

    def reply(self, message: bytes) -> None:
        """Answer with one message: all is well."""
        if self.is_over:
            return
        body = _framed(message)
        if self._has_headers or not self._sender.fits(self, len(body)):
            self.send(message)
            self.end()
            return
        self._sender.put(
            b"".join(
                (
                    frame(HEADERS, END_HEADERS, self.number, headers.RESPONSE),
                    frame(DATA, 0, self.number, body),
                    frame(HEADERS, END_HEADERS | END_STREAM, self.number, headers.OK),
                )
            )
        )
        self._end()

    def send(self, message: bytes) -> None:
        """Answer with a message of several."""
        if self.is_over or self._trailers is not None:
            return
        self.begin()
        self._sender.send(self, _framed(message))

    def begin(self) -> None:
        """Send the headers, which tells the client that the call is served."""
        if not self._has_headers and not self.is_over:
            self._has_headers = True
            self._sender.put(frame(HEADERS, END_HEADERS, self.number, headers.RESPONSE))

    def end(self) -> None:
        """All is answered, and well."""
        self.begin()
        self._close(headers.OK)

    def fail(self, code: int, message: str) -> None:
        """End the call with an error.

        Args:
            code: Of the status, see https://grpc.io/docs/guides/status-codes/.
            message: For people.
        """
        self._close(headers.status(code, message) if self._has_headers else headers.refusal(code, message))

    def refuse(self, http_status: int) -> None:
        """It is no call of gRPC."""
        self._close(headers.no_grpc(http_status))

    def _close(self, trailers: bytes) -> None:
        if self.is_over or self._trailers is not None:
            return
        self._trailers = trailers
        if not self._sender.is_waiting(self):
            self._send_trailers()

    def _send_trailers(self) -> None:
        assert self._trailers is not None
        self._sender.put(frame(HEADERS, END_HEADERS | END_STREAM, self.number, self._trailers))
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self.on_cancel = self.on_ready = None
        self._ended(self)

    def drained(self) -> None:
        """See `Outlet`."""
        if self._trailers is not None:
            self._send_trailers()
        elif self.on_ready is not None:
            self.on_ready()

    def cancel(self) -> None:
        """The client wants no more, or is gone."""
        self.is_over = True
        self._sender.forget(self)
        on_cancel, self.on_cancel, self.on_ready = self.on_cancel, None, None
        if on_cancel is not None:
            on_cancel()


def _framed(message: bytes) -> bytes:
    """A message as gRPC has it in the body, not compressed."""
    return b"".join((b"\x00", len(message).to_bytes(4, "big"), message))
