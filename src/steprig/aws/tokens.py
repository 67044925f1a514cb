"""Tokens: text that the service gives out and understands when it comes back."""

import binascii
from base64 import b64decode
from functools import lru_cache
from typing import NamedTuple

from steprig.aws.model import Arn, InvocationId, OperationId

_SEPARATOR = "|"
"""In none of the parts."""


class CheckpointToken(NamedTuple):
    """The right to checkpoint once."""

    arn: Arn
    invocation: InvocationId
    sequence: int
    """How many checkpoints the execution has had."""

    def encode(self) -> str:
        """As text."""
        return _checkpoint_token(self)

    @classmethod
    def decode(cls, text: str) -> "CheckpointToken | None":
        """The token, or None when it is none."""
        parts = _decode(text, 3)
        if parts is None or not parts[0].isdecimal():
            return None
        return cls(Arn(parts[2]), InvocationId(parts[1]), int(parts[0]))


class CallbackToken(NamedTuple):
    """What a callback id stands for."""

    arn: Arn
    operation: OperationId

    def encode(self) -> str:
        """As text."""
        return _encode(self.operation, self.arn)

    @classmethod
    def decode(cls, text: str) -> "CallbackToken | None":
        """The callback, or None when it is none."""
        parts = _decode(text, 2)
        return None if parts is None else cls(Arn(parts[1]), OperationId(parts[0]))


class Marker(NamedTuple):
    """Where a page of operations begins."""

    sequence: int
    """How many checkpoints there were when the first page was made: later ones may have changed the order of things."""
    begin: int

    def encode(self) -> str:
        """As text."""
        return _encode(str(self.sequence), str(self.begin))

    @classmethod
    def decode(cls, text: str) -> "Marker | None":
        """The marker, or None when it is none."""
        parts = _decode(text, 2)
        if parts is None or not all(part.isdecimal() for part in parts):
            return None
        return cls(int(parts[0]), int(parts[1]))


@lru_cache(maxsize=64)
def _checkpoint_token(token: CheckpointToken) -> str:
    """Asked for twice: when it is given out, and when it comes back."""
    return _encode(str(token.sequence), token.invocation, token.arn)


def _encode(*parts: str) -> str:
    return binascii.b2a_base64(_SEPARATOR.join(parts).encode(), newline=False).decode()


def _decode(text: str, number: int) -> list[str] | None:
    try:
        parts = b64decode(text, validate=True).decode().split(_SEPARATOR)
    except (binascii.Error, ValueError):
        return None
    return parts if len(parts) == number and all(part.isascii() for part in parts) else None
