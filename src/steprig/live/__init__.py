"""Servers that listen, in this process or in another.

The names below are imported on first use, so that ``import steprig.live`` costs nothing and
uvicorn is loaded only by those who start a server with it.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.live.errors import ServerShutdownError, ServerStartupError
    from steprig.live.log_lines import LogLines
    from steprig.live.managed import Managed
    from steprig.live.process import ProcessServer
    from steprig.live.readiness import HttpProbe
    from steprig.live.uvicorn import UvicornTestServer

__all__ = [
    "HttpProbe",
    "LogLines",
    "Managed",
    "ProcessServer",
    "ServerShutdownError",
    "ServerStartupError",
    "UvicornTestServer",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "errors": ("ServerShutdownError", "ServerStartupError"),
        "log_lines": ("LogLines",),
        "managed": ("Managed",),
        "process": ("ProcessServer",),
        "readiness": ("HttpProbe",),
        "uvicorn": ("UvicornTestServer",),
    },
)
