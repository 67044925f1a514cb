"""The real engine with functions, events and an app that are made up: a whole afternoon of it takes milliseconds.

The app is a transport, so that no sockets are involved. What happens depends on nothing but what was drawn.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any, NamedTuple

import msgspec

from steprig.inngest import functions as config
from steprig.inngest.engine import Engine
from steprig.inngest.events import Event, EventId
from steprig.inngest.functions import App, AppName, Function, Slug
from steprig.inngest.ids import new_ulid
from steprig.inngest.projection import project
from steprig.inngest.records import RUN, RunQueued
from steprig.inngest.replies import NoReply, Reply
from steprig.kernel import Clock, Rig, Timer, TimerKind, VirtualClock, Work

from .skipping_loop import run

START = datetime(2026, 1, 1, tzinfo=UTC)

OK, SILENT, BROKEN, FATAL = "ok", "silent", "broken", "fatal"
"""How a call may end: as it should, without an answer, with an error, or with one that is not to be tried again."""


class Limit(NamedTuple):
    """So many, for each key or for all."""

    limit: int
    keyed: bool = False
    scope: str = "fn"

    @property
    def key(self) -> str | None:
        return "event.data.k" if self.keyed else None


class Fn(NamedTuple):
    """A function's flow control, and how many steps it has."""

    number: int = 0
    steps: int = 1
    parallel: bool = False
    retries: int = 1
    concurrency: tuple[Limit, ...] = ()
    throttle: Limit | None = None
    burst: int = 0
    rate_limit: Limit | None = None
    debounce: int | None = None
    batch: Limit | None = None
    priority: bool = False
    singleton: str | None = None

    @property
    def slug(self) -> Slug:
        return Slug(f"app-{self.number}")

    def registered(self) -> Function:
        """As its SDK registers it. Periods are ten seconds."""
        step = config.StepConfig(
            id="step",
            name="step",
            runtime=config.Runtime(type="http", url=f"http://app?fnId={self.slug}"),
            retries=config.Retries(attempts=self.retries),
        )
        return Function(
            id=self.slug,
            name=self.slug,
            triggers=(config.Trigger(event=f"e/{self.number}"),),
            steps={"step": step},
            concurrency=tuple(
                config.Concurrency(limit=limit.limit, key=limit.key, scope=limit.scope)  # type: ignore[arg-type]
                for limit in self.concurrency
            )
            or None,
            throttle=self.throttle
            and config.Throttle(limit=self.throttle.limit, period="10s", burst=self.burst, key=self.throttle.key),
            rate_limit=self.rate_limit
            and config.RateLimit(limit=self.rate_limit.limit, period="10s", key=self.rate_limit.key),
            debounce=None if self.debounce is None else config.Debounce(period=f"{self.debounce}s"),
            batch_events=self.batch and config.Batch(max_size=self.batch.limit, timeout="10s", key=self.batch.key),
            priority=config.Priority(run="event.data.p") if self.priority else None,
            singleton=self.singleton and config.Singleton(mode=self.singleton),  # type: ignore[arg-type]
            cancel=None if self.batch else (config.Cancel(event="stop", condition="async.data.n == event.data.n"),),
        )


class Sent(NamedTuple):
    """An event that is sent some seconds after the one before."""

    gap: int
    function: int
    key: str = "a"
    priority: int = 0
    cancels: bool = False
    """Whether what it starts is cancelled five seconds later."""


class Call(NamedTuple):
    """A call as the app saw it."""

    run_id: str
    step: str
    attempt: int
    began: datetime
    outcome: str


class SimulatedClock(Clock):
    """Time as a loop has it that skips waits: it passes while calls are under way, as it does on a real server."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    def call_at(self, when: datetime, callback: Any, *, kind: Any = None, dispatch: Any = None, label: Any = "") -> Any:
        timer = Timer(when, callback, kind or TimerKind.DELAY, dispatch, label)
        self._loop.call_later(max(0.0, (when - self.now()).total_seconds()), timer.fire)
        return timer

    def working(self, what: str) -> Work:
        return Work()

    @contextmanager
    def awaiting_result(self, *, skip_deadlines: bool = False) -> Iterator[None]:
        yield

    def close(self) -> None:
        """It owns nothing."""


class Plan(NamedTuple):
    """What is declared and sent, and how the app fares.

    Functions are numbered from 0. Calls end and take as many seconds as `outcomes` and `durations` say, in turn, over
    and over. Without durations time stands still during calls: on a `VirtualClock`.
    """

    functions: list[Fn]
    sent: list[Sent]
    outcomes: list[str] = [OK]  # noqa: RUF012 - never changed
    durations: list[int] | None = None

    def play(self) -> "World":
        """Let it all happen, until nothing is to come any more."""
        return World(self).play()


class World:
    """What came of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.functions, self.sent = plan.functions, plan.sent
        self.calls: list[Call] = []
        self.steps_given: Counter[tuple[str, str]] = Counter()
        self.exceeded: list[str] = []
        self._under_way: Counter[tuple[Any, ...]] = Counter()
        self._outcomes = cycle(plan.outcomes)
        self._durations = None if plan.durations is None else cycle(plan.durations)

    def play(self) -> "World":
        """See `Plan.play`."""
        run(self._play())
        return self

    async def _play(self) -> None:
        self.clock = VirtualClock(start=START) if self._durations is None else SimulatedClock()
        rig = Rig(clock=self.clock)
        rig.timeline.add(RUN, project)
        async with rig:
            self.engine = Engine(rig, self, seed=0)
            app = App(name=AppName("app"), url="http://app", functions=tuple(fn.registered() for fn in self.functions))
            self.engine.sync(app)
            with self.clock.working("the plan"):
                self._send_all(rig)
            await self._silence()
            self.runs = rig.timeline.runs()
            self.queued = {
                record.entry.run_id: record.entry
                for stream in rig.journal.streams(RUN)
                for record in rig.journal.read(stream)
                if isinstance(record.entry, RunQueued)
            }
            await self.engine.stop()

    def _send_all(self, rig: Rig) -> None:
        at = self.clock.now()
        for number, sent in enumerate(self.sent):
            at += timedelta(seconds=sent.gap, microseconds=1)  # events come one after the other
            data = {"n": number, "k": sent.key, "p": sent.priority}
            self._send_at(rig, at, f"e/{sent.function}", data)
            if sent.cancels:
                self._send_at(rig, at + timedelta(seconds=5), "stop", {"n": number})

    def _send_at(self, rig: Rig, at: datetime, name: str, data: dict[str, Any]) -> None:
        def send() -> None:
            ident = EventId(new_ulid(at))
            raw = msgspec.Raw(msgspec.json.encode(data))
            ts = int(at.timestamp() * 1000)
            self.engine.receive(Event(internal_id=ident, name=name, data=raw, id=ident, ts=ts))

        rig.call_at(at, send, kind=TimerKind.DELAY, label="an event")

    async def _silence(self) -> None:
        """Until nothing is left to do: on this loop a day takes no time, and nothing here waits for as long."""
        await asyncio.sleep(24 * 3600)
        if isinstance(self.clock, VirtualClock):
            assert not self.clock.in_flight
            assert not self.clock.pending

    # --- The app, which is a transport --------------------------------------------------------------------

    async def call(self, url: str, step: str, request: Any) -> Reply | NoReply:
        body = msgspec.json.decode(request.body)
        function = self.functions[int(url.rpartition("-")[2])]
        event = body["event"]["data"]
        outcome, began = next(self._outcomes), self.clock.now()
        self.calls.append(Call(body["ctx"]["run_id"], step, body["ctx"]["attempt"], began, outcome))
        with self._counted(function, event["k"]):
            if self._durations is None:
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(next(self._durations))
        return self._answer(function, body, step, outcome)

    async def close(self) -> None:
        """It holds nothing."""

    @contextmanager
    def _counted(self, function: Fn, key: str) -> Iterator[None]:
        taken: dict[tuple[Any, ...], int] = {}
        for limit in function.concurrency:
            place = (function.slug if limit.scope == "fn" else limit.scope, limit.keyed, key if limit.keyed else "")
            taken[place] = min(limit.limit, taken.get(place, limit.limit))
        for place, limit_here in taken.items():
            self._under_way[place] += 1
            if self._under_way[place] > limit_here:
                self.exceeded.append(f"{self._under_way[place]} calls at {place}, where {limit_here} may be")
        yield
        self._under_way.subtract(taken.keys())

    def _answer(self, function: Fn, body: Any, step: str, outcome: str) -> Reply | NoReply:
        run_id, done = body["ctx"]["run_id"], body["steps"]
        if outcome == SILENT:
            return NoReply("Unable to reach SDK URL")
        if outcome in (BROKEN, FATAL):
            return Reply(500, b'{"name":"E","message":"broken"}', no_retry=outcome == FATAL)
        missing = [f"step{number}" for number in range(function.steps) if f"step{number}" not in done]
        if not missing:
            return Reply(200, msgspec.json.encode(sorted(done)))
        if function.parallel and step == "step":
            return _opcodes(*({"op": "StepPlanned", "id": ident} for ident in missing))
        ident = step if step != "step" else missing[0]
        self.steps_given[run_id, ident] += 1
        return _opcodes({"op": "StepRun", "id": ident, "data": ident})


def _opcodes(*ops: dict[str, Any]) -> Reply:
    return Reply(206, msgspec.json.encode([{"displayName": op["id"], **op} for op in ops]))
