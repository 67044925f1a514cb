"""The conversation with one worker, from the first hello to the end of its connection."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from steprig.errors import SteprigError
from steprig.inngest.connect import messages
from steprig.inngest.connect.messages import AppSent, Introduction, Kind, MalformedMessageError
from steprig.inngest.connect.workers import Worker, WorkerGoneError
from steprig.inngest.functions import App
from steprig.inngest.registration import RegistrationError, app_in

if TYPE_CHECKING:
    from steprig.inngest.connect.gateway import Gateway

SUBPROTOCOL = "v0.connect.inngest.com"

HEARTBEAT = 10
"""Seconds between two heartbeats of a worker."""

_MISSED_HEARTBEATS = 5
_PATIENCE = 5.0
"""Seconds for a worker to introduce itself."""

_MAX_APPS = 10
_POLICY_VIOLATION, _GOING_AWAY = 1008, 1001
_CLEAN = frozenset({1000, 1001, 1005})
"""How a connection ends that a worker closes: what it sent before has arrived."""

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)
_LONGEST_REASON = 120

_log = logging.getLogger(__name__)


class RefusedError(SteprigError):
    """A worker broke a rule, and its connection ends. The text is the dev server's code for it."""


class Session:
    """Talks with one worker.

    Args:
        socket: Its connection, not accepted yet.
        gateway: What the worker connects to.
    """

    def __init__(self, socket: WebSocket, gateway: "Gateway") -> None:
        self._socket = socket
        self._gateway = gateway
        self._worker: Worker | None = None
        self._connection_id = ""
        self._end_reason = ""
        self._heard = asyncio.get_running_loop().time()
        self._answers: dict[int, Callable[[bytes], Awaitable[None]]] = {
            Kind.WORKER_READY: self._ready,
            Kind.WORKER_HEARTBEAT: self._heartbeat,
            Kind.WORKER_PAUSE: self._pause,
            Kind.WORKER_REQUEST_ACK: self._request_ack,
            Kind.WORKER_REQUEST_EXTEND_LEASE: self._extend_lease,
            Kind.WORKER_REPLY: self._reply,
        }

    async def run(self) -> None:
        """Talk until the connection ends."""
        offered = self._socket.scope.get("subprotocols", ())
        await self._socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        ended_with = 1006
        try:
            await self._talk()
        except WebSocketDisconnect as end:
            ended_with = end.code
            goodbye = "WORKER_SHUTDOWN" if end.code in (1000, _GOING_AWAY) else "UNEXPECTED"
            self._end_reason = self._end_reason or end.reason or goodbye
        except WorkerGoneError:
            pass
        except RefusedError as refusal:
            self._end_reason = str(refusal)
            await self._close(_POLICY_VIOLATION, str(refusal))
        finally:
            self._gateway.connections.closed(self._connection_id, self._end_reason or "UNEXPECTED")
            self._leave(heard_all=ended_with in _CLEAN)

    async def say_goodbye(self) -> None:
        """The gateway closes: the worker is to look for another."""
        self._gateway.connections.became(self._connection_id, "DISCONNECTING")
        try:
            await self._send(messages.closing())
        except WorkerGoneError:
            return
        self._end_reason = "GATEWAY_DRAINING"
        await self._close(_GOING_AWAY, "connect_gateway_closing")

    # --- The handshake ------------------------------------------------------------------------------

    async def _talk(self) -> None:
        await self._send(messages.HELLO)
        introduction = await self._introduction()
        self._check(introduction)
        apps = await self._apps_of(introduction)
        for app in apps:
            self._gateway.register(app)
        functions = {function.id: app.name for app in apps for function in app.functions}
        self._worker = Worker(self._send, functions, introduction.max_concurrency)
        self._connection_id = introduction.connection_id
        self._gateway.connections.opened(introduction, apps, self._socket.client.host if self._socket.client else "")
        await self._send(messages.ready(HEARTBEAT, self._gateway.extension_interval))
        if not introduction.says_when_ready:
            self._is_ready(self._worker)
        await self._converse()

    async def _introduction(self) -> Introduction:
        try:
            async with asyncio.timeout(_PATIENCE):
                kind, payload = messages.read(await self._receive())
        except TimeoutError:
            raise RefusedError("connect_worker_hello_timeout") from None
        except MalformedMessageError as error:
            raise RefusedError("connect_worker_hello_invalid_msg") from error
        if kind != Kind.WORKER_CONNECT:
            raise RefusedError("connect_worker_hello_invalid_msg")
        try:
            return messages.read_introduction(payload)
        except MalformedMessageError as error:
            raise RefusedError("connect_worker_hello_invalid_payload") from error

    def _check(self, introduction: Introduction) -> None:
        if introduction.session_token != self._gateway.token:
            raise RefusedError("connect_authentication_failed")
        if not (introduction.apps and introduction.instance_id and _ULID.fullmatch(introduction.connection_id)):
            raise RefusedError("connect_worker_hello_invalid_payload")
        if len(introduction.apps) > _MAX_APPS:
            raise RefusedError("connect_too_many_apps_per_connection")

    async def _apps_of(self, introduction: Introduction) -> list[App]:
        try:
            return [_app(sent, introduction) for sent in introduction.apps]
        except RegistrationError as error:
            await self._send(messages.sync_failed("connect_invalid_function_config", str(error)))
            raise RefusedError(str(error)) from error

    # --- From then on -------------------------------------------------------------------------------

    async def _converse(self) -> None:
        watch = asyncio.get_running_loop().create_task(self._close_when_silent())
        try:
            while True:
                frame = await self._receive()
                self._heard = asyncio.get_running_loop().time()
                try:
                    kind, payload = messages.read(frame)
                    if (answer := self._answers.get(kind)) is not None:
                        await answer(payload)
                except MalformedMessageError as error:
                    raise RefusedError("connect_worker_invalid_message") from error
        finally:
            watch.cancel()

    async def _close_when_silent(self) -> None:
        loop = asyncio.get_running_loop()
        # No event is set for each message: a look at the time every now and then costs less.
        while (left := self._heard + HEARTBEAT * _MISSED_HEARTBEATS - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)
        self._end_reason = "CONSECUTIVE_HEARTBEATS_MISSED"
        await self._close(_GOING_AWAY, "connect_consecutive_heartbeats_missed")

    async def _ready(self, payload: bytes) -> None:
        del payload
        if self._worker is not None:
            self._is_ready(self._worker)

    def _is_ready(self, worker: Worker) -> None:
        self._gateway.workers.add(worker)
        self._gateway.connections.beat(self._connection_id)
        self._gateway.connections.became(self._connection_id, "READY")

    async def _heartbeat(self, payload: bytes) -> None:
        del payload
        self._gateway.connections.beat(self._connection_id)
        await self._send(messages.heartbeat())

    async def _pause(self, payload: bytes) -> None:
        del payload
        if self._worker is not None:
            self._gateway.workers.remove(self._worker)
            self._gateway.connections.became(self._connection_id, "DRAINING")

    async def _request_ack(self, payload: bytes) -> None:
        self._gateway.leases.arrived(messages.read_ack(payload))

    async def _extend_lease(self, payload: bytes) -> None:
        extension = messages.read_extension(payload)
        if not _ULID.fullmatch(extension.lease_id):
            raise RefusedError("connect_worker_request_extend_lease_invalid_payload")
        lease_id = self._gateway.leases.extend(extension.request_id)
        await self._send(messages.extension_ack(extension, lease_id))

    async def _reply(self, payload: bytes) -> None:
        request_id, reply = messages.read_reply(payload)
        # Acknowledged first, and though it may be of no use any more: the worker is to forget it.
        await self._send(messages.reply_ack(request_id))
        self._gateway.leases.answer(request_id, reply)

    # --- The connection -----------------------------------------------------------------------------

    async def _receive(self) -> bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006), message.get("reason"))
        frame = message.get("bytes")
        if frame is None:
            raise MalformedMessageError("expected a binary frame, got text")
        return bytes(frame)

    async def _send(self, frame: bytes) -> None:
        try:
            await self._socket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise WorkerGoneError(f"the worker's connection has ended: {error!r}") from error

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._socket.close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            _log.debug("a worker's connection had ended before it was closed: %r", error)

    def _leave(self, *, heard_all: bool) -> None:
        """Send no more calls here. Those that are out may still be answered, by another connection or by a flush."""
        if self._worker is None:
            return
        self._gateway.workers.remove(self._worker)
        for lease in list(self._worker.leases):
            # A worker says that it has a call before it runs it. If it has not, and all that it said was heard,
            # then it never will.
            if heard_all and not lease.arrived:
                lease.undelivered()


def _app(sent: AppSent, introduction: Introduction) -> App:
    body = {
        "appname": sent.name,
        "appversion": sent.version,
        "framework": introduction.framework,
        "functions": msgspec.Raw(sent.functions or b"[]"),
        "sdk": f"{introduction.sdk_language}:{introduction.sdk_version}",
        "url": f"ws://connect?app_name={sent.name}",
    }
    app = app_in(msgspec.json.encode(body))
    return msgspec.structs.replace(app, method="CONNECT")
