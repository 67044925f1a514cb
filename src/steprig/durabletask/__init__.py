"""Test Durable Task orchestrations and entities: a gRPC backend in this process, which the SDK's own clients and
workers use unchanged.

The names below are imported on first use, so that ``import steprig.durabletask`` costs nothing.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.durabletask.backend import InMemoryOrchestrationBackend, create_test_backend
    from steprig.durabletask.platform import BackendStartupError
    from steprig.durabletask.prompt_stop import stop_promptly
    from steprig.durabletask.task_hub import EmbeddedTaskHub, NoClockError, TaskHub

__all__ = [
    "BackendStartupError",
    "EmbeddedTaskHub",
    "InMemoryOrchestrationBackend",
    "NoClockError",
    "TaskHub",
    "create_test_backend",
    "stop_promptly",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "backend": ("InMemoryOrchestrationBackend", "create_test_backend"),
        "platform": ("BackendStartupError",),
        "prompt_stop": ("stop_promptly",),
        "task_hub": ("EmbeddedTaskHub", "NoClockError", "TaskHub"),
    },
    extra="durabletask",
)
