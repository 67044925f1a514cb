"""Test Durable Task orchestrations and entities: a gRPC backend in this process, which the SDK's own clients and
workers use unchanged.

The names below are imported on first use, so that ``import steprig.durabletask`` costs nothing.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.durabletask.backend import InMemoryOrchestrationBackend, create_test_backend
    from steprig.durabletask.platform import BackendStartupError

__all__ = ["BackendStartupError", "InMemoryOrchestrationBackend", "create_test_backend"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "backend": ("InMemoryOrchestrationBackend", "create_test_backend"),
        "platform": ("BackendStartupError",),
    },
    extra="durabletask",
)
