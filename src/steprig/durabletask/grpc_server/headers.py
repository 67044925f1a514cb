"""The headers of calls: which a client may send (RFC 9113, section 8), and those that are answered."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

Header = tuple[bytes, bytes]

_PSEUDO = {b":method", b":scheme", b":path", b":authority"}
_REQUIRED = {b":method", b":scheme", b":path"}
_OF_CONNECTIONS = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class Head(NamedTuple):
    """What counts of a request's headers."""

    path: str
    encoding: str
    """How a message is compressed whose flag says that it is."""
    http_status: int
    """200, or why it is no call of gRPC."""


class MalformedError(Exception):
    """Headers that no request may have."""


@lru_cache(maxsize=512)
def head_of(headers: tuple[Header, ...]) -> Head:
    """What counts of these headers.

    Raises:
        MalformedError: No request may have them.
    """
    pseudo: dict[bytes, bytes] = {}
    others: dict[bytes, bytes] = {}
    for name, value in headers:
        if name != name.lower():
            raise MalformedError(f"the header name {name!r} is not in lower case")
        if name.startswith(b":"):
            if others or name in pseudo or name not in _PSEUDO:
                raise MalformedError(f"{name!r} is unknown, there twice, or after a header")
            pseudo[name] = value
        elif name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
            raise MalformedError(f"{name!r} is of HTTP/1")
        else:
            others[name] = value
    if not pseudo.keys() >= _REQUIRED or not pseudo[b":path"]:
        raise MalformedError("a request without method, scheme or path")
    return Head(
        path=pseudo[b":path"].decode("latin-1"),
        encoding=others.get(b"grpc-encoding", b"identity").decode("latin-1"),
        http_status=_http_status(pseudo[b":method"], others.get(b"content-type", b"")),
    )


def _http_status(method: bytes, content_type: bytes) -> int:
    if method != b"POST":
        return 405
    return 200 if content_type.startswith(b"application/grpc") else 415


def literal(name: bytes, value: bytes) -> bytes:
    """A header that leaves the client's table as it is (RFC 7541, section 6.2.2)."""
    return b"".join((b"\x00", _length(name), name, _length(value), value))


def _length(text: bytes) -> bytes:
    """RFC 7541, section 5.1, with a prefix of 7 bits."""
    rest = len(text)
    if rest < 0x7F:
        return bytes((rest,))
    rest -= 0x7F
    encoded = bytearray((0x7F,))
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _status(code: int, message: str) -> bytes:
    status = literal(b"grpc-status", str(code).encode())
    return status + literal(b"grpc-message", quote(message, safe=_PRINTABLE).encode()) if message else status


_NO_TABLE = b"\x20"
"""The client's table of headers is to hold none (RFC 7541, section 6.3), as none is ever put into it: a client may ask
for a smaller one than there is at first, and has to be told that it has got it."""

_STATUS_200 = b"\x88"
_CONTENT_TYPE = literal(b"content-type", b"application/grpc")

RESPONSE = _NO_TABLE + _STATUS_200 + _CONTENT_TYPE
"""The headers before the first message."""

OK = _status(0, "")
"""The headers after the last message."""


def status(code: int, message: str) -> bytes:
    """The headers after the last message, when all did not go well."""
    return _status(code, message)


def refusal(code: int, message: str) -> bytes:
    """The headers of an answer without a message."""
    return RESPONSE + _status(code, message)


def no_grpc(http_status: int) -> bytes:
    """The headers of an answer to what is no call of gRPC."""
    return _NO_TABLE + literal(b":status", str(http_status).encode())
