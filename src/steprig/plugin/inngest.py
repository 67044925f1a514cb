"""What the Inngest fixtures do; imported when the first of them is used."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from steprig.inngest import DevServerLike, RunningDevServer, SyncError
from steprig.inngest.default_server import server_for
from steprig.kernel import VirtualClock
from steprig.plugin.dev_address import DevAddress

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
    if settings.url is not None or not settings.enabled:
        with RunningDevServer(settings.origin or _DEFAULT_ORIGIN) as server:
            yield server
        return
    with VirtualClock() as clock, ExitStack() as started:
        yield started.enter_context(server_for(settings, started, port=address.take_port(), clock=clock))


def register(url: str, dev_server: DevServerLike) -> None:
    """Have the app at `url` register its functions with a dev server.

    Raises:
        SyncError: it did not; the error says what it answered, and what may be the matter.
    """
    try:
        dev_server.sync(url)
    except SyncError as error:
        error.add_note(_HINT)
        raise
