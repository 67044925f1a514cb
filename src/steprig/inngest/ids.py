"""Identifiers: ULIDs for events, runs and requests; UUIDs for apps and functions."""

import binascii
import os
from base64 import b64decode
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32
_TEN_BITS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_MILLIS_LIMIT = 1 << 48
_RANDOMNESS_SIZE = 10
_COUNTER_SIZE = 4
_COUNTER_LIMIT = 1 << 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Not os.urandom: a system call lets go of the GIL, and getting it back from busy threads takes up to 5 ms.
# Not the shared generator either: tests seed that, and would draw the same ids again.
_random = Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

_APPS = uuid5(NAMESPACE_URL, "https://steprig.dev/inngest/app")
_FUNCTIONS = uuid5(NAMESPACE_URL, "https://steprig.dev/inngest/function")


def ulid_at(millis: int, randomness: bytes) -> str:
    """Write a ULID.

    Encoded here, two characters a look-up, because python-ulid builds and validates an object
    for every id, which costs several times as much on a path that every event, run and request takes.

    Args:
        millis: Milliseconds since 1970, less than 2**48.
        randomness: Exactly 10 bytes.

    Returns:
        26 characters that sort by time.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0 <= millis < _MILLIS_LIMIT:
        raise ValueError(f"the time of a ULID must be within 0..2**48 ms, not {millis}")
    if len(randomness) != _RANDOMNESS_SIZE:
        raise ValueError(f"the randomness of a ULID must be 10 bytes, not {len(randomness)}")
    pair = _TEN_BITS
    low = int.from_bytes(randomness, "big")
    return (
        f"{pair[millis >> 40]}{pair[millis >> 30 & 1023]}{pair[millis >> 20 & 1023]}"
        f"{pair[millis >> 10 & 1023]}{pair[millis & 1023]}"
        f"{pair[low >> 70]}{pair[low >> 60 & 1023]}{pair[low >> 50 & 1023]}{pair[low >> 40 & 1023]}"
        f"{pair[low >> 30 & 1023]}{pair[low >> 20 & 1023]}{pair[low >> 10 & 1023]}{pair[low & 1023]}"
    )


def new_ulid(now: datetime) -> str:
    """Draw a random ULID.

    Args:
        now: The time it carries, with a time zone; whole milliseconds are kept.

    Returns:
        A ULID. Two of the same millisecond differ, and sort in no particular order.
    """
    since = now - _EPOCH  # taken apart by hand: `since // millisecond` takes twice as long
    millis = since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
    return ulid_at(millis, os.urandom(_RANDOMNESS_SIZE))


def seeded_event_id(seed_header: str, index: int) -> str | None:
    """Derive an event's id from the ``x-inngest-event-id-seed`` header.

    An SDK repeats the header when it repeats a request, so both deliveries get the same ids.

    Args:
        seed_header: ``<millis>,<base64 of exactly 10 bytes>``.
        index: The event's place in the request, from 1.

    Returns:
        The seed's time and bytes with ``index`` added to the last four as a big-endian
        unsigned integer; None if the header is malformed, in which case ids are random.
    """
    seed = _parse_seed(seed_header)
    if seed is None:
        return None
    millis, entropy = seed
    counter = int.from_bytes(entropy[-_COUNTER_SIZE:], "big") + index
    return ulid_at(millis, entropy[:-_COUNTER_SIZE] + (counter % _COUNTER_LIMIT).to_bytes(_COUNTER_SIZE, "big"))


@lru_cache(4096)
def app_uuid(name: str) -> UUID:
    """The id of an app: the same for the same name, today and after a restart.

    Args:
        name: The app's id as its SDK sends it.

    Returns:
        A version 5 UUID.
    """
    return uuid5(_APPS, name)


@lru_cache(4096)
def function_uuid(slug: str) -> UUID:
    """The id of a function: the same for the same slug, today and after a restart.

    Args:
        slug: ``<app id>-<function id>``.

    Returns:
        A version 5 UUID.
    """
    return uuid5(_FUNCTIONS, slug)


def _parse_seed(header: str) -> tuple[int, bytes] | None:
    millis, comma, encoded = header.partition(",")
    if not (comma and millis.isascii() and millis.isdigit() and len(millis) <= 15):
        return None
    try:
        entropy = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if int(millis) >= _MILLIS_LIMIT or len(entropy) != _RANDOMNESS_SIZE:
        return None
    return int(millis), entropy
