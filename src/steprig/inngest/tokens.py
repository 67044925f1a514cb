"""Tokens that this server alone can issue: JWTs, signed (HS256) with a secret that it makes up at start."""

import base64
import hashlib
import hmac
import secrets
from typing import TypeVar

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.limits import ENVIRONMENT_ID
from steprig.inngest.wire import UNREADABLE

Claims = TypeVar("Claims")


class RunClaims(msgspec.Struct, frozen=True):
    """That the bearer may know what has come of a run."""

    run_id: str
    env: str = ENVIRONMENT_ID


class TokenError(SteprigError):
    """A token is not this server's, was altered, or is not valid any more."""


class Signer:
    """Signs what tokens claim, and reads it again."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, claims: msgspec.Struct) -> str:
        """A token that claims this."""
        signed = b".".join((_HEADER, _in_base64(msgspec.json.encode(claims))))
        return b".".join((signed, self._signature(signed))).decode()

    def read(self, token: str, kind: type[Claims]) -> Claims:
        """What a token claims.

        Args:
            token: As `sign` gave it.
            kind: What it has to be.

        Raises:
            TokenError: It was not issued here, was altered, or claims something of another kind.
        """
        signed, _, signature = token.encode().rpartition(b".")
        if not hmac.compare_digest(signature, self._signature(signed)):
            raise TokenError("the token is not this server's")
        try:
            return msgspec.json.decode(_from_base64(signed.partition(b".")[2]), type=kind)
        except (*UNREADABLE, ValueError) as error:
            raise TokenError(f"the token cannot be read: {error}") from None

    def _signature(self, signed: bytes) -> bytes:
        return _in_base64(hmac.digest(self._secret, signed, hashlib.sha256))


def _in_base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _from_base64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


_HEADER = _in_base64(b'{"alg":"HS256","typ":"JWT"}')
