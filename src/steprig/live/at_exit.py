"""Ends what is still running when the interpreter does, each thing within its own bound."""

import atexit
from collections.abc import Callable
from functools import cache

_stops: dict[object, Callable[[], None]] = {}


def stop_at_exit(key: object, stop: Callable[[], None]) -> None:
    """Call `stop` at exit, unless `forget` is called for the same key before."""
    _register_once()
    _stops[key] = stop


def forget(key: object) -> None:
    """It has ended by itself."""
    _stops.pop(key, None)


@cache
def _register_once() -> None:
    atexit.register(_stop_all)


def _stop_all() -> None:
    for key in list(_stops):
        stop = _stops.pop(key, None)
        if stop is not None:
            stop()
