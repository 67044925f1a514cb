"""What tests of Inngest functions are made of: cases, the state that a function leaves, names, and waiting."""

import asyncio
import enum
import inspect
import queue
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from steprig.inngest.waiting_errors import WaitTimeoutError

if TYPE_CHECKING:
    import inngest

T = TypeVar("T")

_NOT_ONE_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test that is run in several surroundings: each framework, sync and async, HTTP and Connect.

        def create(client: inngest.Inngest, framework: str) -> Case:
            name = create_test_name(__file__)
            state = BaseState()

            @client.create_function(
                fn_id=create_fn_id(name), trigger=inngest.TriggerEvent(event=create_event_name(framework, name))
            )
            async def fn(ctx: inngest.Context) -> str:
                state.run_id = ctx.run_id
                return "done"

            async def run_test(dev_server: DevServerClient) -> None:
                await client.send(inngest.Event(name=create_event_name(framework, name)))
                run_id = await state.wait_for_run_id()
                await dev_server.wait_for_run_status(run_id, RunStatus.COMPLETED)

            return Case(fn=fn, name=name, run_test=run_test)

    Args:
        fn: The Inngest function under test, or several.
        name: Unique among the cases, e.g. for `pytest.mark.parametrize(ids=...)`.
        run_test: The test, sync or async; it takes what your tests give it.
    """

    fn: "inngest.Function[Any] | Sequence[inngest.Function[Any]]"
    name: str
    run_test: Callable[..., object]

    @property
    def functions(self) -> "list[inngest.Function[Any]]":
        """The functions, as a framework's `serve` takes them."""
        return [*self.fn] if isinstance(self.fn, Sequence) else [self.fn]


class BaseState:
    """What a function under test tells its test. Subclass it to add counters and whatever else is to be looked at.

    The function sets `run_id`, from any thread and any event loop; the test waits for it. A subclass may be a
    dataclass, and need not call `super().__init__()`.
    """

    _run_id: str | None
    _lock: threading.Lock
    _waiters: dict[object, Callable[[str], object]]

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Make what waiting needs, whatever a subclass does in `__init__`."""
        del args, kwargs
        state = super().__new__(cls)
        state._run_id, state._lock, state._waiters = None, threading.Lock(), {}
        return state

    @property
    def run_id(self) -> str | None:
        """The id of the run that was told of last, or None."""
        return self._run_id

    @run_id.setter
    def run_id(self, run_id: str | None) -> None:
        # Under the lock, so that nobody is told who has given up, and whose loop may be closed.
        with self._lock:
            self._run_id = run_id
            if run_id is not None:
                for tell in self._waiters.values():
                    tell(run_id)

    async def wait_for_run_id(self, *, timeout: float = 5.0) -> str:
        """The run's id, as soon as the function has told it.

        Args:
            timeout: Seconds.

        Raises:
            WaitTimeoutError: It has not.
        """
        if self._run_id is not None:
            return self._run_id
        loop, told = asyncio.get_running_loop(), asyncio.Queue[str]()
        with self._telling(lambda run_id: loop.call_soon_threadsafe(told.put_nowait, run_id)):
            try:
                return await asyncio.wait_for(told.get(), timeout)
            except TimeoutError:
                raise _no_run_id(timeout) from None

    def wait_for_run_id_sync(self, *, timeout: float = 5.0) -> str:
        """`wait_for_run_id` for tests that are not async."""
        told = queue.SimpleQueue[str]()
        with self._telling(told.put):
            try:
                return told.get(timeout=timeout)
            except queue.Empty:
                raise _no_run_id(timeout) from None

    @contextmanager
    def _telling(self, tell: Callable[[str], object]) -> Iterator[None]:
        """Call `tell` with the run's id, at once if there is one, as often as one is set."""
        mark = object()
        with self._lock:
            if self._run_id is not None:
                tell(self._run_id)
            self._waiters[mark] = tell
        try:
            yield
        finally:
            with self._lock:
                del self._waiters[mark]


def create_test_name(file: str) -> str:
    """A test's name from its file.

    Args:
        file: `__file__`.

    Returns:
        The file's name without suffix, and without a `test_` before or a `_test` behind it; for a package's
        `__init__.py` the package's name.
    """
    path = Path(file)
    stem = path.parent.name if path.stem == "__init__" else path.stem
    return stem.removeprefix("test_").removesuffix("_test")


def create_event_name(framework: str | enum.Enum, name: str) -> str:
    """The name of the event that starts a test's function, so that the same test of two frameworks may run at once.

    Args:
        framework: Such as "fast_api"; an enum's member stands for its value.
        name: The test's name.

    Returns:
        `<framework>/<name>`.

    Raises:
        ValueError: The name would begin with `inngest/`, which is reserved, or a part is empty.
    """
    prefix = framework.value if isinstance(framework, enum.Enum) else framework
    if not prefix or not name or str(prefix).lower() == "inngest":
        raise ValueError(
            f"no event can be named {prefix}/{name}: both parts have to be there, and `inngest/` is the platform's own"
        )
    return f"{prefix}/{name}"


def create_fn_id(test_name: str) -> str:
    """The id of a test's function.

    Args:
        test_name: As from `create_test_name`.

    Returns:
        The name in lower case, with a hyphen for whatever is neither letter nor digit: as it shows in URLs and slugs.

    Raises:
        ValueError: Nothing would be left.
    """
    fn_id = _NOT_ONE_WORD.sub("-", test_name.lower()).strip("-")
    if not fn_id:
        raise ValueError(f"no function id can be made of the test name {test_name!r}: it has no letter and no digit")
    return fn_id


async def wait_for(assertion: Callable[[], T | Awaitable[T]], *, timeout: float = 5.0, interval: float = 0.05) -> T:
    """Repeat an assertion until it holds. For what nothing tells of; where something does, wait for that.

    Args:
        assertion: A callable, sync or async, that raises AssertionError as long as it does not hold.
        timeout: Seconds, after which an async assertion is cancelled.
        interval: Seconds between two tries.

    Returns:
        What the assertion returned.

    Raises:
        AssertionError: The last one, with a note of how often it was tried.
        Exception: Any other error of the assertion, at once.
    """
    tries = _Tries(timeout)
    while True:
        with anyio.move_on_after(tries.seconds_left), tries.one():
            result = assertion()
            return await result if inspect.isawaitable(result) else result
        tries.give_up_when_late()
        await anyio.sleep(min(interval, tries.seconds_left))


def wait_for_sync(assertion: Callable[[], T], *, timeout: float = 5.0, interval: float = 0.05) -> T:
    """`wait_for` for tests that are not async."""
    tries = _Tries(timeout)
    while True:
        with tries.one():
            return assertion()
        tries.give_up_when_late()
        time.sleep(min(interval, tries.seconds_left))


class _Tries:
    """Counts tries until a deadline, and keeps the last failure. There is always a first try."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._count = 0
        self._failure: AssertionError | None = None

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        except AssertionError as error:
            self._failure = error

    def give_up_when_late(self) -> None:
        if self.seconds_left > 0:
            return
        failure = self._failure or AssertionError("the assertion did not come to an end")
        failure.add_note(f"still so after {self._timeout:g} s and {self._count} tries")
        raise failure


def _no_run_id(timeout: float) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"expected the function to set `run_id` within {timeout:g} s; it was not called, or does not say "
        "`state.run_id = ctx.run_id`. Check that the app is registered and that the event has the trigger's name"
    )
