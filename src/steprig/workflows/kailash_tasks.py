"""Keeps kailash from replacing `asyncio.create_task` for the whole process.

While an async node runs, kailash limits the tasks that its code may start (`max_concurrent_tasks`)
by putting a function that takes only a coroutine in the place of `asyncio.create_task`, and two
nodes at a time leave it there for good. Here kailash sees a stand-in for the module `asyncio`: what it
puts there holds for the node alone, whose code sees another that keeps to the limit.
"""

import asyncio
import builtins
import threading
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from functools import cache
from types import ModuleType
from typing import Any
from weakref import WeakSet

from kailash.nodes.code import async_python  # type: ignore[import-untyped]

Limit = Callable[[Any], "asyncio.Task[Any]"]

_limit: ContextVar[Limit | None] = ContextVar("steprig_kailash_limit", default=None)
_started: ContextVar["Started | None"] = ContextVar("steprig_kailash_started", default=None)


class Started:
    """The tasks that the nodes of one run start; one that is over may be gone from it."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: WeakSet[asyncio.Task[Any]] | None = None

    def add(self, task: "asyncio.Task[Any]") -> None:
        """Add one."""
        if self._tasks is None:  # most runs start none
            self._tasks = WeakSet()
        self._tasks.add(task)

    def __iter__(self) -> Iterator["asyncio.Task[Any]"]:
        return iter(self._tasks or ())


class _StandIn(ModuleType):
    """`asyncio` in all but `create_task`."""

    def __init__(self) -> None:
        super().__init__("asyncio", asyncio.__doc__)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


class _ForKailash(_StandIn):
    @property
    def create_task(self) -> Any:
        return asyncio.create_task

    @create_task.setter
    def create_task(self, replacement: Any) -> None:
        _limit.set(None if replacement is asyncio.create_task else replacement)


class _ForNodes(_StandIn):
    @staticmethod
    def create_task(coroutine: Any, *, name: str | None = None, context: Context | None = None) -> "asyncio.Task[Any]":
        """`asyncio.create_task`, within the node's `max_concurrent_tasks`."""
        limit = _limit.get() or asyncio.create_task
        task = limit(coroutine) if context is None else context.run(limit, coroutine)
        if name is not None:
            task.set_name(name)
        if (started := _started.get()) is not None:
            started.add(task)
        return task


asyncio_for_nodes = _ForNodes()
_for_kailash = _ForKailash()


def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    module = builtins.__import__(name, *args, **kwargs)
    return asyncio_for_nodes if module is asyncio else module


class _Visible(ModuleType):
    def __repr__(self) -> str:
        return "<builtins of a node>"  # kailash asks for it at every run, and a module's own takes its time


@cache
def variables_of(sandbox_mode: str) -> dict[str, Any]:
    """What code in such a sandbox is given beside its inputs: `asyncio`, also where it imports that itself."""
    allowed = vars(builtins) if sandbox_mode == "trusted" else dict.fromkeys(async_python.ALLOWED_ASYNC_BUILTINS)
    # A module, as kailash would look for templates in a dict at every run.
    visible = _Visible("builtins")
    vars(visible).update({name: getattr(builtins, name) for name in allowed if hasattr(builtins, name)})
    vars(visible).update(asyncio=asyncio_for_nodes, __import__=_import)
    return {"__builtins__": visible}


_lock = threading.Lock()
_runs = 0


class create_task_left_alone:  # noqa: N801 - used as a function, for every run
    """While any run is within, kailash and its nodes see the stand-ins. Gives the tasks that this run's nodes start."""

    __slots__ = ("_token",)

    def __enter__(self) -> Started:
        started = Started()
        self._token = _started.set(started)
        _count(+1)
        return started

    def __exit__(self, *error: object) -> None:
        _count(-1)
        _started.reset(self._token)


def _count(change: int) -> None:
    global _runs
    with _lock:
        _runs += change
        names = vars(async_python)
        if _runs and names["asyncio"] is asyncio:
            names["asyncio"] = _for_kailash
        elif not _runs:
            names["asyncio"] = asyncio
