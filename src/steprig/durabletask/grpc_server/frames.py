"""HTTP/2 frames (RFC 9113, sections 4, 6 and 7)."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
"""The types of frames."""

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every client begins with."""

MAX_FRAME = 1 << 20
"""The payload of a frame that a client may send, in bytes."""

LARGEST_WINDOW = 2**31 - 1

_HEAD = 9


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class ConnectionFaultError(Exception):
    """The client has broken the rules in a way that ends the connection."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamFaultError(Exception):
    """The client has broken the rules in a way that ends a stream."""

    def __init__(self, stream: int, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.stream = stream
        self.code = code


class Frame(NamedTuple):
    """A frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """An encoded frame."""
    return b"".join((len(payload).to_bytes(3, "big"), bytes((kind, flags)), stream.to_bytes(4, "big"), payload))


class FrameReader:
    """Cuts what comes into frames."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with this.

        Raises:
            ConnectionFaultError: It is no HTTP/2, or a frame is too large.
        """
        if self._rest:
            data = self._rest + data
        at = 0
        if not self._has_begun:
            self._begin(data)
            at = len(PREFACE)
        end = len(data)
        while end - at >= _HEAD:
            length = int.from_bytes(data[at : at + 3], "big")
            if length > MAX_FRAME:
                raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            stop = at + _HEAD + length
            if stop > end:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big") & LARGEST_WINDOW
            yield Frame(data[at + 3], data[at + 4], stream, data[at + 9 : stop])
            at = stop
        self._rest = data[at:] if self._has_begun else data

    def _begin(self, data: bytes) -> None:
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, f"no HTTP/2: it began with {data[:24]!r}")
        self._has_begun = len(data) >= len(PREFACE)


def unpadded(got: Frame) -> bytes:
    """The payload without padding.

    Raises:
        ConnectionFaultError: There is more padding than payload.
    """
    if not got.flags & PADDED:
        return got.payload
    if not got.payload or got.payload[0] >= len(got.payload):
        raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, "a frame with more padding than payload")
    return got.payload[1 : len(got.payload) - got.payload[0]]
