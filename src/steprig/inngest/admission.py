"""How many calls are begun, and gone on with, at once."""

import asyncio
import math
from collections import deque
from types import TracebackType
from typing import Any

_LEAST_PATIENCE = 0.02
_FAR_LONGER = 3
_GAIN = 1.4
_PERIOD = 0.05
_A_TURN = 8

_Call = asyncio.Task[Any]


class Admission:
    """Lets calls begin a few at a time; entered around each call, in a task of its own.

    An app that is busy has done a burst of hundreds of calls no sooner when it gets them all at once: that costs
    memory and connections, and nothing else. But one that waits for something has. And calls may be slow, and
    functions may wait for one another, so that no number of calls may hold up the rest. Therefore:

    - Of those that are let in, as many are counted as let the most calls end per second.
    - A call that takes far longer than calls take in this burst is counted no more.

    Answers come in bursts, too: in one turn of the loop only a few calls are begun or left, before others get theirs.

    Args:
        width: The least number of counted calls that may be under way.
    """

    def __init__(self, width: int = 24) -> None:
        self._width = _Width(width)
        self._patience = _Patience()
        self._turns = _Turns()
        self._began: dict[_Call, float] = {}
        self._counted: dict[_Call, float] = {}
        """Those under way that count, the oldest first, and when each was let in."""
        self._waiting: deque[tuple[asyncio.Future[None], _Call]] = deque()
        self._check: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._enter()
        try:
            await self._turns.next()
        except asyncio.CancelledError:
            self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if error is None:
            await self._turns.next()

    async def _enter(self) -> None:
        loop, call = asyncio.get_running_loop(), _this_call()
        if not self._waiting:
            if len(self._counted) < self._width.now:
                self._let_in(call, loop.time())
                return
            self._width.begin(loop.time())
            self._patience.begin()
        admitted = loop.create_future()
        self._waiting.append((admitted, call))
        self._check_later()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._leave()
            raise

    def _let_in(self, call: _Call, now: float) -> None:
        self._began[call] = self._counted[call] = now

    def _leave(self) -> None:
        call, now = _this_call(), asyncio.get_running_loop().time()
        self._counted.pop(call, None)
        took = now - self._began.pop(call)
        if self._waiting:
            self._patience.ended(took)
            self._width.ended(now)
        self._admit(now)

    def _admit(self, now: float) -> None:
        while self._waiting and len(self._counted) < self._width.now:
            admitted, call = self._waiting.popleft()
            if not admitted.done():
                self._let_in(call, now)
                admitted.set_result(None)

    def _check_later(self) -> None:
        """Look again when the oldest call has taken too long."""
        if self._check is None:
            loop = asyncio.get_running_loop()
            oldest = next(iter(self._counted.values()), loop.time())
            self._check = loop.call_at(oldest + self._patience.now, self._forget_slow_ones)

    def _forget_slow_ones(self) -> None:
        self._check = None
        now = asyncio.get_running_loop().time()
        for call in [call for call, began in self._counted.items() if began + self._patience.now <= now]:
            del self._counted[call]
        self._admit(now)
        if self._waiting:
            self._check_later()


class _Width:
    """How many to let in: doubled for as long as that lets clearly more calls end per second, else halved."""

    def __init__(self, least: int) -> None:
        self._least = least
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """A burst begins."""
        self.now = self._least
        self._raising = True
        self._rate = 0.0
        self._since, self._ends = now, 0

    def ended(self, now: float) -> None:
        """A call has ended while others wait."""
        self._ends += 1
        if self._ends < self.now or now - self._since < _PERIOD:
            return
        rate = self._ends / (now - self._since)
        if rate < self._rate / _GAIN or (self._raising and rate < self._rate * _GAIN):
            self._raising = not self._raising
        self.now = self.now * 2 if self._raising else max(self._least, self.now // 2)
        self._rate = rate
        self._since, self._ends = now, 0


class _Patience:
    """How long a call may take before it counts no more, in seconds: far longer than calls take.

    What they take is a geometric mean, so that a slow one among many quick ones stands out.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A burst begins, of which nothing is known yet."""
        self.now = _LEAST_PATIENCE
        self._mean: float | None = None

    def ended(self, took: float) -> None:
        """A call has ended after so many seconds."""
        log = math.log(max(took, 1e-4))
        self._mean = log if self._mean is None else self._mean + 0.1 * (log - self._mean)
        self.now = max(_LEAST_PATIENCE, _FAR_LONGER * math.exp(self._mean))


class _Turns:
    """Lets a few pass in each turn of the loop; the others wait for the next."""

    def __init__(self) -> None:
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Wait until it is one's turn, which may be now."""
        loop = asyncio.get_running_loop()
        if self._passed == 0:
            loop.call_soon(self._turn_over)
        if self._passed < _A_TURN and not self._waiting:
            self._passed += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _turn_over(self) -> None:
        self._passed = 0
        while self._waiting and self._passed < _A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():
                self._passed += 1
                turn.set_result(None)
        if self._passed:
            asyncio.get_running_loop().call_soon(self._turn_over)


def _this_call() -> _Call:
    call = asyncio.current_task()
    assert call is not None, "calls are made by tasks"
    return call
