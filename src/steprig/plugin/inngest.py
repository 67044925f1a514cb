"""What the Inngest fixtures do; imported when the first of them is used."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx

from steprig.inngest import DevServerLike, InngestCliServer, RunningDevServer, Settings, SyncError
from steprig.kernel import VirtualClock
from steprig.plugin.dev_address import DevAddress

if TYPE_CHECKING:
    from steprig.inngest import DevServer

_DEFAULT_ORIGIN = "http://127.0.0.1:8288"

_HINT = (
    "If the app's Inngest client was made before it was known that a test uses `dev_server`, it talks to another "
    "server: set `steprig_inngest_dev = true` in the pytest configuration, or make the client in a fixture. "
    "If the functions are served at another path, name it: `steprig_inngest_path = /the/path`."
)


@contextmanager
def open_dev_server(address: DevAddress) -> Iterator[DevServerLike]:
    """The dev server that the environment asks for, at the address that clients were told."""
    settings = address.announce()
    with ExitStack() as stack:
        if settings.url is not None or not settings.enabled:
            yield stack.enter_context(RunningDevServer(settings.origin or _DEFAULT_ORIGIN))
        elif settings.backend == "cli":
            server = InngestCliServer(address.take_port(), version=settings.version, log_file=settings.log_file)
            yield stack.enter_context(server)
        else:
            yield _embedded(address.take_port(), settings, stack)


def register(url: str, dev_server: DevServerLike) -> None:
    """Have the app at `url` register its functions with a dev server.

    Raises:
        SyncError: it did not; the error says what it answered, and what may be the matter.
    """
    sync: Callable[[str], None] = getattr(dev_server, "sync", _ask_to_register)
    try:
        sync(url)
    except SyncError as error:
        error.add_note(_HINT)
        raise


def _embedded(port: int, settings: Settings, stack: ExitStack) -> "DevServer":
    from steprig.inngest import DevServer
    from steprig.inngest.journal_log import JournalLog

    clock = VirtualClock()
    stack.callback(clock.close)
    server = DevServer(
        port,
        strict_port=True,
        clock=clock,
        event_keys=() if settings.event_key is None else (settings.event_key,),
        signing_key=settings.signing_key,
        crons=settings.crons,
    )
    if settings.log_file is not None:
        log = JournalLog(server.journal, settings.log_file, f"dev server at {server.origin}")
        stack.callback(lambda: log.close(server.logs))
    return stack.enter_context(server)


def _ask_to_register(url: str) -> None:
    """An app in development mode registers with its dev server when it is sent a PUT."""
    try:
        answer = httpx.put(url, json={"url": url}, timeout=10)
    except httpx.HTTPError as error:
        raise SyncError(url, "unreachable", str(error)) from error
    if not answer.is_success:
        raise SyncError(url, f"status {answer.status_code}", answer.text[:500])
