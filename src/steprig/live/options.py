"""Checks uvicorn's options when a server is made, where the mistake is, not when it starts."""

import difflib
import inspect
import logging
from collections.abc import Mapping
from functools import cache

import uvicorn
from uvicorn.config import INTERFACES, LIFESPAN, LOG_LEVELS

_LARGEST_PORT = 65535

_PROCESSES = "the server runs in one thread of this process"

_REFUSED = {
    "fd": "the server binds its own socket; give `host` and `port`, or `uds`",
    "workers": _PROCESSES,
    "reload": _PROCESSES,
    "reload_dirs": _PROCESSES,
    "reload_delay": _PROCESSES,
    "reload_includes": _PROCESSES,
    "reload_excludes": _PROCESSES,
    "log_config": "it would change logging for the whole process; read `logs`, or give `log_level`",
}
"""Options of uvicorn that make no sense here, and why."""


def check_options(options: Mapping[str, object]) -> None:
    """Refuse options that uvicorn does not have, or that cannot work in a test server.

    Raises:
        TypeError: naming the option, and either why it is refused or which ones come close.
    """
    for name in options:
        if name in _REFUSED:
            raise TypeError(f"uvicorn's option {name!r} cannot be used here: {_REFUSED[name]}")
        if name not in _known_options():
            close = difflib.get_close_matches(name, sorted(_known_options() - _REFUSED.keys()))
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise TypeError(f"uvicorn {uvicorn.__version__} has no option {name!r}{hint}")


def check_values(port: int | None, lifespan: str, interface: object) -> None:
    """Refuse values that would fail at the start with an error that names none of them.

    Raises:
        ValueError: naming the option, its value and the choices.
    """
    if port is not None and not 0 <= port <= _LARGEST_PORT:
        raise ValueError(f"port has to be between 0 and {_LARGEST_PORT}, got {port}")
    _check_choice("lifespan", lifespan, list(LIFESPAN))
    _check_choice("interface", interface, list(INTERFACES))


def level_number(level: str | int) -> int:
    """The number of a log level, given as one of uvicorn's names or as a number.

    Raises:
        ValueError: the name is none of uvicorn's.
    """
    if isinstance(level, int):
        return level
    _check_choice("log_level", level.lower(), list(LOG_LEVELS))
    if level.lower() == "trace":
        logging.addLevelName(LOG_LEVELS["trace"], "TRACE")
    return LOG_LEVELS[level.lower()]


def _check_choice(option: str, value: object, choices: list[str]) -> None:
    if value not in choices:
        raise ValueError(f"{option} has to be one of {', '.join(choices)}, got {value!r}")


@cache
def _known_options() -> frozenset[str]:
    return frozenset(inspect.signature(uvicorn.Config).parameters) - {"app"}
