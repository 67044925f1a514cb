"""What the Durable Task fixture does; imported when it is used."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from steprig.durabletask import create_test_backend
from steprig.durabletask.task_hub import EmbeddedTaskHub, TaskHub
from steprig.kernel import VirtualClock

EMBEDDED = "embedded"


@contextmanager
def open_task_hub(clock: VirtualClock) -> Iterator[TaskHub]:
    """An embedded one, on a free port."""
    with create_test_backend(0, clock=clock) as backend, EmbeddedTaskHub(backend) as hub:
        yield hub


def remote_task_hub(target: str) -> TaskHub:
    """The one that the option names.

    Raises:
        pytest.UsageError: It names none.
    """
    address, _, name = target.partition("/")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise pytest.UsageError(
            f"--steprig-durabletask={target}: expected '{EMBEDDED}', HOST:PORT of a sidecar, or HOST:PORT/TASKHUB of "
            "a scheduler or its emulator"
        )
    return TaskHub(address, name or None)
