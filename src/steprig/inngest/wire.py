"""What comes over the wire, before anything is known of it."""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading JSON from outside raises: it is none, is no UTF-8, or is nested deeper than anybody can read."""


def checked(body: bytes) -> bytes:
    """The body, which is UTF-8. JSON that is kept as it came is not looked into, and its readers rely on this.

    Raises:
        UnicodeDecodeError: It is not.
    """
    if not body.isascii():
        body.decode()
    return body
