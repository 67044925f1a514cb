"""The test rig for durable functions: real servers, real SDKs, no waiting."""

from importlib import import_module
from typing import TYPE_CHECKING

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

_HOMES = {
    "ProcessServer": "steprig.live",
    "RealClock": "steprig.kernel",
    "ServerShutdownError": "steprig.live",
    "ServerStartupError": "steprig.live",
    "SteprigError": "steprig.errors",
    "UvicornTestServer": "steprig.live",
    "VirtualClock": "steprig.kernel",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the pytest plugin imports this package in every run."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
