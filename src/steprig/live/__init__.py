"""Servers that listen, in this process or in another.

The names below are imported on first use, so that ``import steprig.live`` costs nothing and
uvicorn is loaded only by those who start a server with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steprig.live.errors import ServerShutdownError, ServerStartupError
    from steprig.live.log_lines import LogLines
    from steprig.live.process import ProcessServer
    from steprig.live.readiness import HttpProbe
    from steprig.live.uvicorn import UvicornTestServer

__all__ = [
    "HttpProbe",
    "LogLines",
    "ProcessServer",
    "ServerShutdownError",
    "ServerStartupError",
    "UvicornTestServer",
]

_HOMES = {
    "HttpProbe": "steprig.live.readiness",
    "LogLines": "steprig.live.log_lines",
    "ProcessServer": "steprig.live.process",
    "ServerShutdownError": "steprig.live.errors",
    "ServerStartupError": "steprig.live.errors",
    "UvicornTestServer": "steprig.live.uvicorn",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
