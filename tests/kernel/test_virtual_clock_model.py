"""The virtual clock does what a slow and obvious model of it does, whatever the order of calls."""

import copy
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steprig.kernel import Timer, TimerKind, VirtualClock, Work

START = datetime(2030, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class SetTimer:
    seconds: int
    kind: TimerKind
    then: tuple["Action", ...] = ()


@dataclass(frozen=True)
class Cancel:
    back: int
    """Which timer, counted back from the last one made."""


@dataclass(frozen=True)
class Begin:
    """Begin work that somebody ends later."""


@dataclass(frozen=True)
class Stamp:
    pass


Action = SetTimer | Cancel | Begin | Stamp

set_timers = st.recursive(
    st.builds(SetTimer, st.integers(-2, 6), st.sampled_from(TimerKind)),
    lambda inner: st.builds(
        SetTimer,
        st.integers(-2, 6),
        st.sampled_from(TimerKind),
        st.lists(
            st.one_of(inner, st.builds(Cancel, st.integers(0, 5)), st.just(Begin()), st.just(Stamp())), max_size=3
        ).map(tuple),
    ),
    max_leaves=6,
)


@dataclass
class ModelTimer:
    number: int
    when: datetime
    kind: TimerKind
    then: tuple[Action, ...]
    over: bool = False
    """Fired or cancelled."""


@dataclass
class Model:
    """What the clock promises, in the plainest words."""

    auto: bool
    now: datetime = START
    last_stamp: datetime = START - TICK
    timers: list[ModelTimer] = field(default_factory=list)
    open_work: int = 0
    waiting: int = 0
    skipping: int = 0
    seen: list[tuple[int, datetime]] = field(default_factory=list)

    def act(self, action: Action) -> None:
        match action:
            case SetTimer(seconds, kind, then):
                when = self.now + timedelta(seconds=seconds)
                self.timers.append(ModelTimer(len(self.timers), when, kind, then))
            case Cancel(back):
                if back < len(self.timers):
                    self.timers[-1 - back].over = True
            case Begin():
                self.open_work += 1
            case Stamp():
                self.last_stamp = max(self.now, self.last_stamp + TICK)
                self.now = self.last_stamp

    def jump(self) -> None:
        while self.auto and not self.open_work:
            kinds = {TimerKind.DELAY}
            if self.waiting:
                kinds.add(TimerKind.AMBIGUOUS)
            if self.skipping:
                kinds.add(TimerKind.DEADLINE)
            if not self.fire_next(kinds, None):
                return

    def move(self, kinds: set[TimerKind], target: datetime | None) -> bool:
        """By hand. False when work in flight is in the way."""
        while not self.open_work:
            if not self.fire_next(kinds, target):
                self.now = max(self.now, target or self.now)
                return True
        return False

    def fire_next(self, kinds: set[TimerKind], target: datetime | None) -> bool:
        reasons = [timer.when for timer in self.live(kinds)]
        passed = [timer.when for timer in self.live({TimerKind.BACKGROUND})]
        passed = [when for when in passed if when <= min(reasons, default=self.now)]
        moment = min(reasons + passed, default=None)
        if moment is None or (target is not None and moment > target and moment > self.now):
            return False
        self.now = max(self.now, moment)
        for timer in self.live(kinds | {TimerKind.BACKGROUND}):
            if timer.when == moment and timer.number < len(self.timers):
                self.fire(timer)
        return True

    def fire(self, timer: ModelTimer) -> None:
        if not timer.over:
            timer.over = True
            self.seen.append((timer.number, self.now))
            for action in timer.then:
                self.act(action)

    def live(self, kinds: set[TimerKind]) -> list[ModelTimer]:
        return [timer for timer in self.timers if timer.kind in kinds and not timer.over]


class ClockMachine(RuleBasedStateMachine):
    @initialize(auto=st.booleans())
    def begin(self, auto: bool) -> None:
        self.model = Model(auto)
        self.clock = VirtualClock(start=START, auto=auto)
        self.timers: list[Timer] = []
        self.work: list[Work] = []
        self.clients: list[ExitStack] = []
        self.client_skips: list[bool] = []
        self.seen: list[tuple[int, datetime]] = []

    def act(self, action: Action) -> None:
        match action:
            case SetTimer(seconds, kind, then):
                number = len(self.timers)
                self.timers.append(
                    self.clock.call_later(timedelta(seconds=seconds), lambda: self.fired(number, then), kind=kind)
                )
            case Cancel(back):
                if back < len(self.timers):
                    self.timers[-1 - back].cancel()
            case Begin():
                self.work.append(self.clock.working("work"))
            case Stamp():
                self.clock.stamp()

    def fired(self, number: int, then: tuple[Action, ...]) -> None:
        self.seen.append((number, self.clock.now()))
        for action in then:
            self.act(action)

    @rule(action=st.one_of(set_timers, st.builds(Cancel, st.integers(0, 8)), st.just(Begin()), st.just(Stamp())))
    def do(self, action: Action) -> None:
        self.model.act(action)
        if not self.model.open_work:
            self.model.jump()
        with self.clock.working("act"):
            self.act(action)

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def end_work(self, data: st.DataObject) -> None:
        work = self.work.pop(data.draw(st.integers(0, len(self.work) - 1)))
        self.model.open_work -= 1
        if not self.model.open_work:
            self.model.jump()
        work.done()
        work.done()

    @rule(skip_deadlines=st.booleans())
    def client_waits(self, skip_deadlines: bool) -> None:
        self.model.waiting += 1
        self.model.skipping += skip_deadlines
        self.model.jump()
        self.clients.append(ExitStack())
        self.client_skips.append(skip_deadlines)
        self.clients[-1].enter_context(self.clock.awaiting_result(skip_deadlines=skip_deadlines))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def client_goes_on(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.clients) - 1))
        self.model.waiting -= 1
        self.model.skipping -= self.client_skips.pop(index)
        self.clients.pop(index).close()

    @rule(seconds=st.integers(0, 8))
    def advance(self, seconds: int) -> None:
        def move(model: Model) -> bool:
            return model.move(set(TimerKind), model.now + timedelta(seconds=seconds))

        if move(copy.deepcopy(self.model)):
            move(self.model)
            self.model.jump()
            self.clock.advance(seconds=seconds)

    @rule(deadlines=st.booleans())
    def run_until_idle(self, deadlines: bool) -> None:
        kinds = {TimerKind.DELAY, TimerKind.AMBIGUOUS} | ({TimerKind.DEADLINE} if deadlines else set())
        if copy.deepcopy(self.model).move(kinds, None):
            self.model.move(kinds, None)
            self.model.jump()
            self.clock.run_until_idle(deadlines=deadlines)

    @invariant()
    def they_agree(self) -> None:
        assert self.seen == self.model.seen
        assert self.clock.now() == self.model.now
        assert sum(self.clock.in_flight.values()) == self.model.open_work
        left = sorted(self.model.live(set(TimerKind)), key=lambda timer: timer.when)
        assert [timer.when for timer in self.clock.pending] == [timer.when for timer in left]

    @invariant()
    def what_fired_was_due(self) -> None:
        assert all(self.timers[number].when <= at for number, at in self.seen)
        moments = [at for _, at in self.seen]
        assert moments == sorted(moments)
        assert len({number for number, _ in self.seen}) == len(self.seen)


TestClockAgainstModel = ClockMachine.TestCase
TestClockAgainstModel.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
