"""The test rig for durable functions: real servers, real SDKs, no waiting."""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.errors import SteprigError
    from steprig.kernel import RealClock, VirtualClock
    from steprig.live import ProcessServer, ServerShutdownError, ServerStartupError, UvicornTestServer

__all__ = [
    "ProcessServer",
    "RealClock",
    "ServerShutdownError",
    "ServerStartupError",
    "SteprigError",
    "UvicornTestServer",
    "VirtualClock",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "errors": ("SteprigError",),
        "kernel": ("RealClock", "VirtualClock"),
        "live": ("ProcessServer", "ServerShutdownError", "ServerStartupError", "UvicornTestServer"),
    },
)
