"""Request and response signatures (Inngest SDK spec, "Signatures")."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from steprig.errors import SteprigError

SIGNATURE_HEADER: Final = "x-inngest-signature"

_PREFIX = re.compile(r"signkey-\w+-")
# Tolerates other fields, as the format is a query string; the two fields may come in any order.
_FIELD = re.compile(r"(?:^|&)(t|s)=([^&]*)")
_TIMESTAMP = re.compile(r"[0-9]{1,15}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EXPECTED = f"expected {SIGNATURE_HEADER}: t=<unix seconds>&s=<64 hex digits>"


class SignatureError(SteprigError):
    """A request or response is not signed as it must be. No message contains a key or a digest."""


class MissingSignatureError(SignatureError):
    """There is no signature header."""


class MalformedSignatureError(SignatureError):
    """The header, the body or the key cannot be read, so nothing could be compared."""


class WrongSignatureError(SignatureError):
    """The signature was made with another key, or over another body or time."""


class ExpiredSignatureError(SignatureError):
    """The signature is right, and too old or too far in the future."""


def hash_signing_key(key: str) -> str:
    """The form of a signing key that the SDK sends as bearer token.

    Args:
        key: ``signkey-<word>-<hex>``, or its hex alone.

    Returns:
        The hexadecimal SHA-256 of the key's bytes, without the prefix.

    Raises:
        MalformedSignatureError: The key is not hexadecimal after its prefix.
    """
    try:
        return hashlib.sha256(bytes.fromhex(_without_prefix(key))).hexdigest()
    except ValueError:
        # `from None`: the cause would show which character of the key is wrong.
        raise MalformedSignatureError(
            "the signing key cannot be hashed: expected signkey-<word>-<hex>, and what follows the prefix is not hex"
        ) from None


def is_bearer_of(authorization: str, key: str) -> bool:
    """Whether an `Authorization` header is that of an SDK with this signing key.

    Args:
        authorization: ``Bearer <hash>``; the npm SDK leaves the key's prefix before the hash, the Python SDK does not.
        key: As in `hash_signing_key`.

    Raises:
        MalformedSignatureError: As in `hash_signing_key`.
    """
    scheme, _, token = authorization.partition(" ")
    return scheme == "Bearer" and hmac.compare_digest(_without_prefix(token).encode(), hash_signing_key(key).encode())


def sign_request(body: bytes, key: str, timestamp: int) -> str:
    """Sign a request to an SDK, over its body in canonical form (RFC 8785).

    Args:
        body: JSON; may be empty.
        key: A signing key, with or without its prefix.
        timestamp: When it is signed, in seconds since 1970.

    Returns:
        The value of `SIGNATURE_HEADER`.

    Raises:
        MalformedSignatureError: The body is not JSON.
    """
    return _header(canonicalize(body), key, timestamp)


def sign_response(body: bytes, key: str, timestamp: int) -> str:
    """Sign a response of an SDK, over its body exactly as sent.

    Args:
        body: Any bytes.
        key: The signing key that validated the request.
        timestamp: When it is signed, in seconds since 1970.

    Returns:
        The value of `SIGNATURE_HEADER`.
    """
    return _header(body, key, timestamp)


def verify_signature(header: str | None, body: bytes, key: str, *, now: datetime, max_age: timedelta | None) -> None:
    """Check the signature of a request.

    Args:
        header: The value of `SIGNATURE_HEADER`; None if the request has none.
        body: The body as received; it is brought to canonical form here.
        key: The signing key it must be signed with.
        now: The current time, with a time zone.
        max_age: How far the signature's time may lie from ``now``, either way. The spec says
            5 minutes; None accepts any age, as the Python SDK does.

    Raises:
        MissingSignatureError: ``header`` is None or empty.
        MalformedSignatureError: The header or the body cannot be read.
        WrongSignatureError: It was signed with another key, or altered afterwards.
        ExpiredSignatureError: It is right but outside ``max_age``.
    """
    timestamp, signature = _parse(header)
    _compare(signature, canonicalize(body), key, timestamp)
    # Age comes last: whoever does not hold the key learns nothing about the clock.
    _check_age(timestamp, now, max_age)


def validate_response_sig(
    headers: Mapping[str, str], body: bytes, key: str, *, now: datetime, max_age: timedelta | None = None
) -> None:
    """Check the signature of an SDK's response, over its bytes exactly as received.

    Args:
        headers: The response's headers; names are compared without case.
        body: The response's body.
        key: The signing key that signed the request.
        now: The current time, with a time zone.
        max_age: As in `verify_signature`.

    Raises:
        SignatureError: As in `verify_signature`.
    """
    header = next((value for name, value in headers.items() if name.lower() == SIGNATURE_HEADER), None)
    timestamp, signature = _parse(header)
    _compare(signature, body, key, timestamp)
    _check_age(timestamp, now, max_age)


def canonicalize(body: bytes) -> bytes:
    """Bring JSON to the one form that is signed: RFC 8785, the JSON Canonicalization Scheme.

    Args:
        body: JSON; empty stays empty.

    Returns:
        The canonical bytes.

    Raises:
        MalformedSignatureError: The body is not JSON, or not representable (such as NaN).
    """
    if not body:
        return body
    # A dependency of the inngest SDK, not of steprig's core.
    import jcs  # type: ignore[import-untyped]

    try:
        canonical = jcs.canonicalize(json.loads(body))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedSignatureError(f"cannot sign the body: expected JSON ({error})") from error
    return bytes(canonical)


def _without_prefix(key: str) -> str:
    prefix = _PREFIX.match(key)
    return key[prefix.end() :] if prefix else key


def _header(payload: bytes, key: str, timestamp: int) -> str:
    # The SDK compares whole strings in places, so `t` always comes first.
    return f"t={timestamp}&s={_digest(payload, key, str(timestamp))}"


def _digest(payload: bytes, key: str, timestamp: str) -> str:
    # Keyed with the text of the key: only the bearer token decodes its hex.
    mac = hmac.new(_without_prefix(key).encode(), payload, hashlib.sha256)
    mac.update(timestamp.encode())
    return mac.hexdigest()


def _parse(header: str | None) -> tuple[str, str]:
    if not header:
        raise MissingSignatureError(f"the signature is missing: {_EXPECTED}")
    fields = dict(_FIELD.findall(header))
    timestamp, signature = fields.get("t", ""), fields.get("s", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise MalformedSignatureError(f"the signature's time `t` is not a whole number: {_EXPECTED}")
    if not _DIGEST.fullmatch(signature):
        raise MalformedSignatureError(f"the signature's digest `s` is not 64 lower-case hex digits: {_EXPECTED}")
    return timestamp, signature


def _compare(signature: str, payload: bytes, key: str, timestamp: str) -> None:
    if not hmac.compare_digest(signature, _digest(payload, key, timestamp)):
        raise WrongSignatureError(
            f"the signature does not match the {len(payload)} byte body and time {timestamp}: "
            "expected one made with the configured signing key; check that both sides use the same key"
        )


def _check_age(timestamp: str, now: datetime, max_age: timedelta | None) -> None:
    if max_age is None:
        return
    age = now.timestamp() - int(timestamp)
    if abs(age) > max_age.total_seconds():
        raise ExpiredSignatureError(
            f"the signature has expired: it was made {age:.0f} s ago, expected at most "
            f"{max_age.total_seconds():.0f} s; check both clocks"
        )
