"""Entries as bytes and back."""

from collections.abc import Iterator
from typing import cast

import msgspec

from steprig.errors import SteprigError
from steprig.kernel.journal import Entry


class UnknownEntryError(SteprigError):
    """A stored entry is of no type that is loaded."""


class EntryCodec:
    """Finds the type of a stored entry by its tag, among the entry types that are loaded."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoders: dict[str, msgspec.json.Decoder[Entry]] = {}

    def encode(self, entry: Entry) -> tuple[str, bytes]:
        """The tag of an entry's type, and the entry as JSON."""
        return tag_of(type(entry)), self._encoder.encode(entry)

    def decode(self, tag: str, encoded: bytes) -> Entry:
        """The entry.

        Raises:
            UnknownEntryError: No type with this tag is loaded, or more than one.
            msgspec.ValidationError: The type has changed since.
        """
        decoder = self._decoders.get(tag)
        if decoder is None:
            decoder = self._decoders[tag] = msgspec.json.Decoder(_type_with(tag))
        return decoder.decode(encoded)


def tag_of(kind: type[Entry]) -> str:
    """What tells entries of a type apart."""
    return cast(str, kind.__struct_config__.tag)


def _type_with(tag: str) -> type[Entry]:
    found = [kind for kind in _subclasses(Entry) if tag_of(kind) == tag]
    if len(found) != 1:
        names = " and ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in found) or "no type that is loaded"
        raise UnknownEntryError(f"the journal holds an entry tagged {tag!r}, which is {names}; expected one type")
    return found[0]


def _subclasses(kind: type[Entry]) -> Iterator[type[Entry]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
