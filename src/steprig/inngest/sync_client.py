"""The sync face of `DevServerClient`: the same methods for tests that are not async."""

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from anyio.from_thread import start_blocking_portal

from steprig.inngest.client_model import HistoryStep, Run, RunStatus, StepOutput

if TYPE_CHECKING:
    from steprig.inngest.client import DevServerClient

T = TypeVar("T")


class SyncDevServerClient:
    """Blocks where `DevServerClient` awaits, and is otherwise the same; see there for arguments and errors.

    It may be used inside a running event loop, too, which then stands still: the dev server and the app have to
    run elsewhere, as they do in `DevServer` and `UvicornTestServer`.
    """

    def __init__(self, client: "DevServerClient") -> None:
        self._client = client

    def get_run_ids_from_event_id(
        self, event_id: str, *, run_count: int = 1, timeout: float | None = None
    ) -> list[str]:
        """See `DevServerClient.get_run_ids_from_event_id`."""
        call = self._client.get_run_ids_from_event_id
        return _blocking(partial(call, event_id, run_count=run_count, timeout=timeout))

    def wait_for_run_status(
        self,
        run_id: str,
        status: RunStatus | AbstractSet[RunStatus],
        *,
        timeout: float | None = None,
        skip_deadlines: bool = False,
    ) -> Run:
        """See `DevServerClient.wait_for_run_status`."""
        call = self._client.wait_for_run_status
        return _blocking(partial(call, run_id, status, timeout=timeout, skip_deadlines=skip_deadlines))

    def get_history(self, run_id: str, *, timeout: float | None = None) -> list[HistoryStep]:
        """See `DevServerClient.get_history`."""
        return _blocking(partial(self._client.get_history, run_id, timeout=timeout))

    def get_step_output(
        self, run_id: str, step_id: str, *, occurrence: int = 1, timeout: float | None = None
    ) -> StepOutput:
        """See `DevServerClient.get_step_output`."""
        call = self._client.get_step_output
        return _blocking(partial(call, run_id, step_id, occurrence=occurrence, timeout=timeout))


def _blocking(call: Callable[[], Awaitable[T]]) -> T:
    """Run on a loop in a thread of its own: this thread may have a loop, running or set, that is not ours to touch."""
    with start_blocking_portal() as portal:
        return portal.call(call)
