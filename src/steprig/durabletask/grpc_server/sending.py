"""What a connection sends."""

import asyncio
from typing import Protocol

from steprig.durabletask.grpc_server.frames import DATA, LARGEST_WINDOW, ConnectionFaultError, ErrorCode, frame

_WINDOW, _FRAME = 65_535, 16_384
"""What a client takes until it says otherwise (RFC 9113, section 6.5.2)."""


class Outlet(Protocol):
    """A stream that sends."""

    number: int
    window: int
    """How many bytes the client takes on it."""
    is_over: bool

    def drained(self) -> None:
        """All that had to wait is on its way."""


class Sender:
    """Sends as much as the client's windows allow, in as few writes as can be.

    What is put while the connection reads goes out at the end of that, and what is put at any other time at the end
    of the loop's pass.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._frames: list[bytes] = []
        self._window = _WINDOW
        self._max_frame = _FRAME
        self._waiting: dict[Outlet, list[memoryview]] = {}
        """What streams have yet to send, as soon as windows open."""
        self._is_due = False
        self.is_paused = False
        """True while the client does not read as fast as is written."""
        self.initial_window = _WINDOW
        """Of a stream."""

    def put(self, encoded: bytes) -> None:
        """Send frames that no window holds back."""
        self._frames.append(encoded)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send now what was put."""
        self._is_due = False
        if self._frames:
            frames, self._frames = self._frames, []
            self._transport.write(b"".join(frames))

    def hold(self) -> None:
        """Whoever calls this will call `flush`."""
        self._is_due = True

    def is_waiting(self, stream: Outlet) -> bool:
        """Whether a stream has something yet to send."""
        return stream in self._waiting

    def fits(self, stream: Outlet, size: int) -> bool:
        """Whether so many bytes may be sent at once; if so they count as sent."""
        if stream in self._waiting or size > self._max_frame or size > self._window or size > stream.window:
            return False
        self._window -= size
        stream.window -= size
        return True

    def send(self, stream: Outlet, data: bytes) -> None:
        """Send what belongs to a stream, now or as its windows open."""
        if self.fits(stream, len(data)):
            self.put(frame(DATA, 0, stream.number, data))
            return
        self._waiting.setdefault(stream, []).append(memoryview(data))
        self._send_waiting(stream)

    def forget(self, stream: Outlet) -> None:
        """A stream sends nothing more."""
        self._waiting.pop(stream, None)

    def open_connection(self, size: int) -> None:
        """The client takes more bytes in all."""
        self._window += size
        if self._window > LARGEST_WINDOW:
            raise ConnectionFaultError(ErrorCode.FLOW_CONTROL_ERROR, "the window is too large")
        for stream in list(self._waiting):
            self._go_on(stream)

    def open_stream(self, stream: Outlet, size: int) -> None:
        """The client takes more bytes on a stream, or fewer."""
        stream.window += size
        self._go_on(stream)

    def limit_frames(self, size: int) -> None:
        """The client takes frames with so many bytes of payload."""
        self._max_frame = size

    def _go_on(self, stream: Outlet) -> None:
        if stream in self._waiting and self._send_waiting(stream):
            stream.drained()

    def _send_waiting(self, stream: Outlet) -> bool:
        """Whether that was all."""
        pieces = self._waiting[stream]
        while pieces:
            room = min(self._window, stream.window, self._max_frame)
            if room <= 0:
                return False
            piece = pieces[0][:room]
            if len(piece) == len(pieces[0]):
                del pieces[0]
            else:
                pieces[0] = pieces[0][room:]
            self._window -= len(piece)
            stream.window -= len(piece)
            self.put(frame(DATA, 0, stream.number, piece))
        del self._waiting[stream]
        return True
