"""Where threads and tasks stand, for the message of an error about something that hangs."""

import asyncio
import gc
import sys
import threading
import traceback
from types import AsyncGeneratorType, CoroutineType, FrameType

_FRAMES_SHOWN = 12
"""The innermost frames say what hangs; the outer ones are the same in every server."""


def thread_stack(thread: threading.Thread) -> str:
    """The innermost frames of a running thread; empty if it has ended."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)[-_FRAMES_SHOWN:]) if frame else ""


def task_stacks(tasks: set["asyncio.Task[object]"]) -> str:
    """Each task's name and the frames at which it is suspended, outermost first."""
    return "".join(f"{_name(task)}\n{task_stack(task)}" for task in tasks)


def task_stack(task: "asyncio.Task[object]") -> str:
    """The frames at which a task is suspended, through everything that it awaits.

    `Task.get_stack` ends at the outermost coroutine, which in a server is always uvicorn's.
    """
    frames = _suspended_frames(task.get_coro())[-_FRAMES_SHOWN:]
    return "".join(traceback.format_list([summary for f in frames for summary in traceback.extract_stack(f, limit=1)]))


def _name(task: "asyncio.Task[object]") -> str:
    return f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')}):"


def _suspended_frames(awaited: object) -> list[FrameType]:
    frames: list[FrameType] = []
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            # `asend()` of an async generator, of which every lifespan is made, has no attribute
            # that leads to its generator; the garbage collector knows.
            frame, awaited = None, next(filter(_is_generator, gc.get_referents(awaited)), None)
        if frame is not None:
            frames.append(frame)
    return frames


def _is_generator(thing: object) -> bool:
    return isinstance(thing, AsyncGeneratorType)
