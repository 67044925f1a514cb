"""One client's connection: its frames, and the calls that they make up."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from hpack import Decoder, HPACKError

from steprig.durabletask.grpc_server import frames
from steprig.durabletask.grpc_server.call import UNIMPLEMENTED, Call, RequestError
from steprig.durabletask.grpc_server.frames import (
    ConnectionFaultError,
    ErrorCode,
    Frame,
    FrameReader,
    StreamFaultError,
    frame,
    unpadded,
)
from steprig.durabletask.grpc_server.headers import MalformedError, head_of
from steprig.durabletask.grpc_server.sending import Sender
from steprig.durabletask.grpc_server.settings import OURS, apply

_log = logging.getLogger(__name__)

_UNKNOWN = 2
"""The code of a status."""

_LONGEST_BLOCK = 1 << 18
"""Bytes of headers that one call may have, encoded."""

_WINDOW = frames.LARGEST_WINDOW
"""Bytes that the client may send before it is told that it may send more; no stream gets to that."""

_LAST_ORDERS = frame(frames.PING, 0, 0, b"farewell")
"""Whoever answers that has heard the farewell before it."""

Method = Callable[[Call, bytes], None]
"""Answers to a call, now or later; it is given the request message."""


class Owner(Protocol):
    """What connections belong to."""

    def find(self, path: str) -> Method | None:
        """Who answers to a path."""

    def opened(self, connection: "Connection") -> None:
        """A client has connected."""

    def closed(self, connection: "Connection") -> None:
        """A connection is gone."""


class Connection(asyncio.Protocol):
    """HTTP/2 on the side of the server."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = FrameReader()
        self._decoder = Decoder()
        self._calls: dict[int, Call] = {}
        self._last = 0
        """The highest number of a stream so far."""
        self._block: tuple[Frame, list[bytes]] | None = None
        """Headers that are yet to be complete: their first frame, and the pieces."""
        self._has_settings = False
        self._read = 0
        """Bytes of the window that the client has used."""
        self._is_going_away = False
        """No call is begun any more that is not on its way."""
        self._is_closed = False
        """No call is taken any more."""

    # --- The transport ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sender = Sender(transport, asyncio.get_running_loop())
        self._owner.opened(self)
        self._sender.put(OURS)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._sender.hold()
        try:
            for got in self._reader.feed(data):
                try:
                    self._take(got)
                except StreamFaultError as fault:
                    self._end_stream(fault)
        except ConnectionFaultError as fault:
            self._end_connection(fault)
        finally:
            self._sender.flush()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`: the client does not read as fast as is written."""
        self._sender.is_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._sender.is_paused = False
        for call in list(self._calls.values()):
            if call.on_ready is not None and call.is_ready:
                call.on_ready()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.cancel()
        self._owner.closed(self)

    # --- The end ----------------------------------------------------------------------------------------

    def go_away(self) -> None:
        """Have the client begin no more calls. Ends when those are over that it has begun.

        In two steps, as RFC 9113 has it in section 6.8: a call that is on its way gets its answer, too. A client whose
        call is not taken would try again by itself, and gRPC's own then waits for a connection for ever at times.
        """
        if not self._is_going_away:
            self._is_going_away = True
            self._sender.put(self._farewell(ErrorCode.NO_ERROR, frames.LARGEST_WINDOW) + _LAST_ORDERS)

    def _client_knows(self) -> None:
        """It begins no more calls."""
        self._is_closed = True
        self._sender.put(self._farewell(ErrorCode.NO_ERROR, self._last))
        self._close_if_done()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def _farewell(self, code: ErrorCode, last: int, message: str = "") -> bytes:
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + message.encode()
        return frame(frames.GOAWAY, 0, 0, payload)

    def _close_if_done(self) -> None:
        if self._is_closed and not self._calls:
            self._sender.flush()
            self._transport.close()

    def _end_connection(self, fault: ConnectionFaultError) -> None:
        _log.debug("a connection is ended: %s", fault)
        self._sender.put(self._farewell(fault.code, self._last, str(fault)))
        self._sender.flush()
        self._transport.close()

    def _end_stream(self, fault: StreamFaultError) -> None:
        _log.debug("stream %d is ended: %s", fault.stream, fault)
        self._sender.put(frame(frames.RST_STREAM, 0, fault.stream, fault.code.to_bytes(4, "big")))
        self._cancel(fault.stream)

    def _cancel(self, stream: int) -> None:
        call = self._calls.pop(stream, None)
        if call is not None:
            call.cancel()
            self._close_if_done()

    def _ended(self, call: Call) -> None:
        """A call was answered."""
        if self._calls.pop(call.number, None) is not None:
            self._close_if_done()

    # --- Frames -----------------------------------------------------------------------------------------

    def _take(self, got: Frame) -> None:
        if self._block is not None and (got.kind != frames.CONTINUATION or got.stream != self._block[0].stream):
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "headers were interrupted by another frame")
        if not self._has_settings and got.kind != frames.SETTINGS:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "the first frame is none of settings")
        take = _TAKE.get(got.kind)
        if take is not None:
            take(self, got)

    def _data(self, got: Frame) -> None:
        self._count(len(got.payload))
        call = self._calls.get(got.stream)
        if call is None or call.is_received:
            self._check_begun(got.stream)
            raise StreamFaultError(got.stream, ErrorCode.STREAM_CLOSED, "data on a stream that is closed")
        data = unpadded(got)
        if data:
            call.receive(data)
        if got.flags & frames.END_STREAM:
            self._received(call)

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > _WINDOW // 2:
            self._sender.put(frame(frames.WINDOW_UPDATE, 0, 0, self._read.to_bytes(4, "big")))
            self._read = 0

    def _headers(self, got: Frame) -> None:
        if not got.stream % 2:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, f"headers on stream {got.stream}")
        piece = unpadded(got)
        if got.flags & frames.HAS_PRIORITY:
            if len(piece) < 5:
                raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "headers with a priority that is cut")
            if int.from_bytes(piece[:4], "big") & frames.LARGEST_WINDOW == got.stream:
                raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
            piece = piece[5:]
        self._block = (got, [piece])
        self._end_block_if(got)

    def _continuation(self, got: Frame) -> None:
        if self._block is None:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing")
        pieces = self._block[1]
        pieces.append(got.payload)
        if sum(map(len, pieces)) > _LONGEST_BLOCK or len(pieces) > _LONGEST_BLOCK // 1024:
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, "headers without end")
        self._end_block_if(got)

    def _end_block_if(self, got: Frame) -> None:
        if not got.flags & frames.END_HEADERS:
            return
        assert self._block is not None
        (first, pieces), self._block = self._block, None
        try:
            decoded = self._decoder.decode(b"".join(pieces), raw=True)
        except HPACKError as error:
            raise ConnectionFaultError(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        call = self._calls.get(first.stream)
        if call is not None:
            self._trailers(call, first)
        elif first.stream <= self._last:
            raise ConnectionFaultError(ErrorCode.STREAM_CLOSED, f"headers on stream {first.stream}, which is closed")
        else:
            self._open(first, tuple((bytes(name), bytes(value)) for name, value in decoded))

    def _trailers(self, call: Call, first: Frame) -> None:
        if call.is_received:
            raise StreamFaultError(call.number, ErrorCode.STREAM_CLOSED, "headers after the end of a request")
        if not first.flags & frames.END_STREAM:
            raise StreamFaultError(call.number, ErrorCode.PROTOCOL_ERROR, "headers amid a request")
        self._received(call)

    def _open(self, first: Frame, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._last = first.stream
        if self._is_closed:
            raise StreamFaultError(first.stream, ErrorCode.REFUSED_STREAM, "the server is stopping")
        try:
            head = head_of(headers)
        except MalformedError as error:
            raise StreamFaultError(first.stream, ErrorCode.PROTOCOL_ERROR, str(error)) from error
        call = self._calls[first.stream] = Call(first.stream, head, self._sender, self._ended)
        if first.flags & frames.END_STREAM:
            self._received(call)

    def _received(self, call: Call) -> None:
        """The request is there as a whole: have it answered."""
        call.is_received = True
        if call.head.http_status != 200:
            call.refuse(call.head.http_status)
            return
        method = self._owner.find(call.head.path)
        if method is None:
            call.fail(UNIMPLEMENTED, f"there is no method {call.head.path}")
            return
        try:
            method(call, call.request())
        except RequestError as error:
            call.fail(error.status, str(error))
        except Exception as error:  # noqa: BLE001 - a call that fails ends no other one
            _log.exception("%s failed", call.head.path)
            call.fail(_UNKNOWN, f"{type(error).__name__}: {error}")

    def _priority(self, got: Frame) -> None:
        """Nobody heeds priorities any more (RFC 9113, section 5.3)."""
        if not got.stream:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a priority of no stream")
        if len(got.payload) != 5:
            raise StreamFaultError(got.stream, ErrorCode.FRAME_SIZE_ERROR, "a priority that is cut")

    def _rst_stream(self, got: Frame) -> None:
        if len(got.payload) != 4:
            raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "an end of a stream that is cut")
        self._check_begun(got.stream)
        self._cancel(got.stream)

    def _settings(self, got: Frame) -> None:
        if got.stream:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "settings of a stream")
        if got.flags & frames.ACK:
            if got.payload:
                raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        self._has_settings = True
        # First: the client counts by the new settings only from the acknowledgement on.
        self._sender.put(frame(frames.SETTINGS, frames.ACK, 0))
        apply(got.payload, self._sender, self._calls.values())

    def _push_promise(self, got: Frame) -> None:
        raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a client promises nothing")

    def _ping(self, got: Frame) -> None:
        if got.stream:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a ping of a stream")
        if len(got.payload) != 8:
            raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "a ping that has not 8 bytes")
        if not got.flags & frames.ACK:
            self._sender.put(frame(frames.PING, frames.ACK, 0, got.payload))
        elif self._is_going_away:
            self._client_knows()

    def _goaway(self, got: Frame) -> None:
        """The client begins no more calls; it closes the connection itself."""
        if got.stream:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a farewell on a stream")

    def _window_update(self, got: Frame) -> None:
        if len(got.payload) != 4:
            raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "a window that has not 4 bytes")
        size = int.from_bytes(got.payload, "big") & frames.LARGEST_WINDOW
        if not got.stream:
            if not size:
                raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a window that gets no larger")
            self._sender.open_connection(size)
            return
        self._check_begun(got.stream)
        if not size:
            raise StreamFaultError(got.stream, ErrorCode.PROTOCOL_ERROR, "a window that gets no larger")
        call = self._calls.get(got.stream)
        if call is not None:
            if call.window + size > frames.LARGEST_WINDOW:
                raise StreamFaultError(got.stream, ErrorCode.FLOW_CONTROL_ERROR, "the window is too large")
            self._sender.open_stream(call, size)

    def _check_begun(self, stream: int) -> None:
        if not stream % 2 or stream > self._last:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, f"a frame on stream {stream}, which has not begun")


_TAKE: dict[int, Callable[[Connection, Frame], None]] = {
    frames.DATA: Connection._data,
    frames.HEADERS: Connection._headers,
    frames.PRIORITY: Connection._priority,
    frames.RST_STREAM: Connection._rst_stream,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.GOAWAY: Connection._goaway,
    frames.WINDOW_UPDATE: Connection._window_update,
    frames.CONTINUATION: Connection._continuation,
}
