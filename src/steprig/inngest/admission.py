"""How many calls are begun at once."""

import asyncio
from collections import deque
from types import TracebackType


class Admission:
    """Lets calls begin a few at a time for as long as calls keep ending; entered around each call.

    A burst of hundreds is done sooner when it reuses a few connections than when it opens hundreds. But calls may
    be slow, and functions may wait for one another, so no number of calls may hold up the rest: when none has ended
    for a moment, those under way are counted no more, and as many again are let in.

    Args:
        width: How many counted calls may be under way.
        patience: Seconds without an end after which they are counted no more.
    """

    def __init__(self, width: int = 24, patience: float = 0.01) -> None:
        self._width = width
        self._patience = patience
        self._room = width
        self._ended = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._check: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        if self._room > 0 and not self._waiting:
            self._room -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._check_later()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._ended += 1
        # A call that is not counted any more makes no room beyond the width.
        self._room = min(self._room + 1, self._width)
        self._admit()

    def _admit(self) -> None:
        while self._room > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._room -= 1
                turn.set_result(None)

    def _check_later(self) -> None:
        if self._check is None:
            loop = asyncio.get_running_loop()
            self._check = loop.call_later(self._patience, self._open_if_stalled, self._ended)

    def _open_if_stalled(self, ended_before: int) -> None:
        self._check = None
        if self._ended == ended_before:
            self._room = self._width
        self._admit()
        if self._waiting:
            self._check_later()
