"""Who is told of what a journal gets, each of the kinds of stream that it wants."""

import logging
from collections.abc import Callable, Collection
from typing import TypeVar

from steprig.kernel.journal import JournalListener, Record, Stream

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Listeners:
    """A journal's listeners. To be used under the journal's lock."""

    def __init__(self) -> None:
        self._all: tuple[tuple[JournalListener, frozenset[str] | None], ...] = ()
        self._of_kind: dict[str, tuple[JournalListener, ...]] = {}
        self.are_being_told = False
        """True while one is told, and the journal may not change."""

    def add(self, listener: JournalListener, kinds: Collection[str] | None) -> None:
        """Tell `listener` of streams of these kinds, or of every kind."""
        self._all += ((listener, None if kinds is None else frozenset(kinds)),)
        self._of_kind.clear()

    def remove(self, listener: JournalListener) -> None:
        """Tell it no more."""
        self._all = tuple(known for known in self._all if known[0] is not listener)
        self._of_kind.clear()

    def clear(self) -> None:
        """Tell nobody any more."""
        self._all = ()
        self._of_kind.clear()

    @property
    def are_there(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._all)

    def tell_appended(self, kind: str, record: Record) -> None:
        """A record was added to a stream of a kind."""
        for listener in self._who_want(kind):
            self._tell(listener.appended, record)

    def tell_dropped(self, kind: str, stream: Stream) -> None:
        """A stream of a kind is gone."""
        for listener in self._who_want(kind):
            self._tell(listener.dropped, stream)

    def check_silent(self) -> None:
        """Raise RuntimeError while a listener is told."""
        if self.are_being_told:
            raise RuntimeError("a journal's listener cannot append to it; let a loop or thread do it afterwards")

    def _who_want(self, kind: str) -> tuple[JournalListener, ...]:
        wanting = self._of_kind.get(kind)
        if wanting is None:
            wanting = tuple(listener for listener, kinds in self._all if kinds is None or kind in kinds)
            self._of_kind[kind] = wanting
        return wanting

    def _tell(self, told: Callable[[T], None], what: T) -> None:
        self.are_being_told = True
        try:
            told(what)
        except Exception:  # noqa: BLE001 - the record is in; a reader's fault must not undo what follows from it
            _log.exception("a listener of the journal failed at %r", what)
        finally:
            self.are_being_told = False
