"""Signatures as tests need them: at the current time, for the headers and bodies at hand."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from steprig.inngest import signing


def sign_request(body: bytes | str, signing_key: str) -> str:
    """Sign a request to an app as the Inngest server would, now.

    Args:
        body: The request's body, JSON or empty.
        signing_key: With or without its `signkey-test-` prefix.

    Returns:
        The value of the header `x-inngest-signature`.

    Raises:
        MalformedSignatureError: The body is not JSON.
    """
    return signing.sign_request(_bytes(body), signing_key, int(time.time()))


def validate_response_sig(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes | str,
    signing_key: str,
    *,
    max_age: timedelta | None = timedelta(minutes=5),
) -> None:
    """Check that an app has signed its response.

    Args:
        headers: The response's headers, of any HTTP client: `response.headers`.
        body: The response's body as received: `response.content`.
        signing_key: The key that the request was signed with.
        max_age: How old the signature may be; None for any age.

    Raises:
        SignatureError: It has not, or with another key, or over another body; see its leaves.
    """
    signing.validate_response_sig(dict(headers), _bytes(body), signing_key, now=datetime.now(UTC), max_age=max_age)


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
