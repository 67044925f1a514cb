"""The Connect gateway: where workers ask for a connection, connect, and leave answers that found no other way."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

from starlette.websockets import WebSocket

from steprig.inngest.connect.connections import Connections
from steprig.inngest.connect.leases import Leases
from steprig.inngest.connect.transport import ConnectTransport
from steprig.inngest.connect.workers import Workers
from steprig.inngest.functions import App
from steprig.inngest.ids import new_ulid

GROUP = "gw-dev"

_FAREWELL = 0.5
"""Seconds for workers to leave when the gateway closes; what they still have to say they say to the next one."""


class Gateway:
    """What workers connect to.

    Args:
        register: Takes an app that a worker brings.
        goes_on: Whether the run with this id does.
        lease: Seconds that a worker has to answer a call or to ask for more time.
        now: Tells the time.
    """

    def __init__(
        self,
        register: Callable[[App], object],
        goes_on: Callable[[str], bool],
        lease: float,
        now: Callable[[], datetime],
    ) -> None:
        self.id = new_ulid(datetime.now(UTC))
        self.register = register
        self.connections = Connections(now)
        self.workers = Workers()
        self.leases = Leases(self.workers, lease, goes_on)
        self.transport = ConnectTransport(self.workers, self.leases)
        self.token = secrets.token_urlsafe()
        self.extension_interval = max(1, int(lease // 4))
        """Whole seconds between two extensions of a lease: the SDK reads no other form."""
        self.is_closing = False
        self._tasks: dict[asyncio.Task[None], Callable[[], Coroutine[object, object, None]]] = {}

    async def serve(self, socket: WebSocket) -> None:
        """Talk with a worker until its connection ends."""
        if self.is_closing:
            await socket.close()
            return
        # Not above: it comes with the SDK's protobuf module.
        from steprig.inngest.connect.session import Session

        session = Session(socket, self)
        task = asyncio.get_running_loop().create_task(session.run())
        self._tasks[task] = session.say_goodbye
        try:
            await task
        finally:
            del self._tasks[task]

    def start_response(self, endpoint: str) -> bytes:
        """The `StartResponse` that sends a worker to `endpoint`.

        Encoded here, as this is also what clients ask to see whether a server is up, and the SDK's protobuf module
        takes long to import.
        """
        fields = (new_ulid(datetime.now(UTC)), endpoint, GROUP, self.token, self.token)
        return b"".join(_string(number, text.encode()) for number, text in enumerate(fields, 1))

    def flush(self, body: bytes) -> bytes:
        """Take an answer that came by HTTP. Returns the `FlushResponse`.

        Raises:
            ValueError: It is no `SDKResponse`.
        """
        from steprig.inngest.connect.messages import flush_response, read_reply

        request_id, reply = read_reply(body)
        self.leases.answer(request_id, reply)
        return flush_response(request_id)

    async def close(self) -> None:
        """Send every worker away. Idempotent."""
        self.is_closing = True
        tasks = dict(self._tasks)
        if tasks:
            await asyncio.gather(*(say_goodbye() for say_goodbye in tasks.values()), return_exceptions=True)
            await asyncio.wait(tasks, timeout=_FAREWELL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _string(number: int, data: bytes) -> bytes:
    """A protobuf field that holds a string of up to 16,383 bytes."""
    size = len(data)
    length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + data
