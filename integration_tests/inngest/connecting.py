"""Workers of the real SDK, each in a thread of its own, and a worker that says whatever a test wants."""

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from uuid import uuid4

import httpx
import inngest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from steprig.inngest.dev_server import DevServer
from steprig.inngest.projection import InngestRun

from ..waiting import until
from .stage import PATIENCE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
    import inngest.connect
    from inngest.connect._internal import connect_pb2 as pb

NEW_ID = "01JQDAE4RQ000G40R40M30E20A"


class SdkWorker:
    """One worker of an app, with the real SDK."""

    def __init__(self, connection_for: Callable[[], Any]) -> None:
        self._connection_for = connection_for
        self._started = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(asyncio.run, self._main()), daemon=True)

    def start(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE)
        until(lambda: self.state == "ACTIVE", "the connection")
        return self

    @property
    def state(self) -> str:
        return self.connection.get_state().value

    def begin_to_close(self) -> None:
        """Drain: take no more calls, finish those that run."""
        asyncio.run_coroutine_threadsafe(self.connection.close(), self._loop).result(PATIENCE)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.begin_to_close()
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.connection = self._connection_for()
        self._loop.call_soon(self._started.set)
        await self.connection.start()


class ConnectStage:
    """A dev server, an app, and its workers."""

    def __init__(self, dev: DevServer) -> None:
        self.dev = dev
        self.app_id = f"app-{uuid4().hex[:8]}"
        self.functions: list[inngest.Function[Any]] = []
        self.client = self.new_client()
        self._workers: list[SdkWorker] = []

    def new_client(self) -> inngest.Inngest:
        return inngest.Inngest(
            app_id=self.app_id,
            api_base_url=self.dev.origin,
            event_api_base_url=self.dev.origin,
            is_production=False,
        )

    def function(self, fn_id: str, **options: Any) -> Callable[[Any], inngest.Function[Any]]:
        trigger = inngest.TriggerEvent(event=f"test/{fn_id}")

        def declare(body: Any) -> inngest.Function[Any]:
            function = self.client.create_function(fn_id=fn_id, trigger=trigger, **options)(body)
            self.functions.append(function)
            return function

        return declare

    def worker(self, **options: Any) -> SdkWorker:
        """Start a worker and wait until it is connected."""
        apps = [(self.client, list(self.functions))]
        worker = SdkWorker(lambda: inngest.connect.connect(apps, **options))
        self._workers.append(worker)
        return worker.start()

    def send(self, fn_id: str) -> str:
        """Send a function's event. Returns the id of its run."""
        answer = httpx.post(f"{self.dev.origin}/e/key", json={"name": f"test/{fn_id}", "data": {}}, timeout=PATIENCE)
        (event_id,) = answer.raise_for_status().json()["ids"]
        (run_id,) = self.dev.runs_of(event_id)
        return run_id

    def ended(self, run_id: str) -> InngestRun:
        run = self.dev.timeline.wait_for(run_id, lambda run: run.status.ended, timeout=PATIENCE)
        assert isinstance(run, InngestRun)
        return run

    def run(self, fn_id: str) -> InngestRun:
        return self.ended(self.send(fn_id))

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()


class RawWorker:
    """A worker that says what a test wants and hears what the gateway says."""

    def __init__(self, socket: ClientConnection, token: str) -> None:
        self.socket = socket
        self.token = token

    def say(self, kind: int, payload: bytes = b"") -> None:
        self.socket.send(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())

    def hear(self) -> Any:
        """The next message."""
        frame = self.socket.recv(PATIENCE)
        assert isinstance(frame, bytes)
        return pb.ConnectMessage.FromString(frame)

    def hear_payload(self, kind: int, message: Any) -> Any:
        """The next message, which is of a kind, decoded."""
        heard = self.hear()
        assert heard.kind == kind, pb.GatewayMessageType.Name(heard.kind)
        return message.FromString(heard.payload)

    def introduce(self, functions: bytes = b"[]", *, apps: tuple[str, ...] = ("raw",), **fields: Any) -> None:
        data = {
            "connection_id": NEW_ID,
            "instance_id": "me",
            "auth_data": pb.AuthData(session_token=self.token),
            "apps": [pb.AppConfiguration(app_name=app, functions=functions) for app in apps],
            "framework": "connect",
            "sdk_language": "py",
            "sdk_version": "v1",
        } | fields
        self.say(pb.WORKER_CONNECT, pb.WorkerConnectRequestData(**data).SerializeToString())

    def get_ready(self, *fn_ids: str, **fields: Any) -> None:
        """Go through the handshake with functions of the app `raw`."""
        assert self.socket.recv(PATIENCE) == b""
        self.introduce(config(*fn_ids), **fields)
        self.hear_payload(pb.GATEWAY_CONNECTION_READY, pb.GatewayConnectionReadyData)

    def take(self) -> Any:
        """The next call, acknowledged."""
        request = self.hear_payload(pb.GATEWAY_EXECUTOR_REQUEST, pb.GatewayExecutorRequestData)
        self.say(pb.WORKER_REQUEST_ACK, pb.WorkerRequestAckData(request_id=request.request_id).SerializeToString())
        return request

    def extend(self, request: Any, lease_id: str | None = None) -> Any:
        """Ask for more time. Returns the gateway's answer."""
        data = pb.WorkerRequestExtendLeaseData(request_id=request.request_id, lease_id=lease_id or request.lease_id)
        self.say(pb.WORKER_REQUEST_EXTEND_LEASE, data.SerializeToString())
        return self.hear_payload(pb.WORKER_REQUEST_EXTEND_LEASE_ACK, pb.WorkerRequestExtendLeaseAckData)

    def reply(self, request: Any, body: bytes = b'"done"') -> None:
        self.say(pb.WORKER_REPLY, reply_to(request, body))
        ack = self.hear_payload(pb.WORKER_REPLY_ACK, pb.WorkerReplyAckData)
        assert ack.request_id == request.request_id

    def closed_with(self) -> tuple[int | None, str | None]:
        """The code and reason with which the gateway closes, whatever it says before."""
        with suppress(ConnectionClosedError):
            for _ in self.socket:
                pass
        return self.socket.close_code, self.socket.close_reason


def reply_to(request: Any, body: bytes = b'"done"') -> bytes:
    """A reply that ends the run."""
    reply = pb.SDKResponse(request_id=request.request_id, status=pb.DONE, body=body, request_version=2)
    data: bytes = reply.SerializeToString()
    return data


def config(*fn_ids: str) -> bytes:
    """The configuration of functions of the app `raw`."""
    entries = ",".join(
        f'{{"id":"raw-{fn_id}","name":"{fn_id}","triggers":[{{"event":"test/{fn_id}"}}],"steps":{{"step":{{"id":"step",'
        f'"name":"step","retries":{{"attempts":0}},"runtime":{{"type":"ws","url":"wss://connect?fnId=raw-{fn_id}&stepId=step"}}}}}}}}'
        for fn_id in fn_ids
    )
    return f"[{entries}]".encode()


def ask_to_connect(dev: DevServer) -> Any:
    """What `POST /v0/connect/start` answers."""
    answer = httpx.post(f"{dev.origin}/v0/connect/start", timeout=PATIENCE).raise_for_status()
    return pb.StartResponse.FromString(answer.content)


@contextmanager
def raw_worker(dev: DevServer) -> Iterator[RawWorker]:
    """A connection on which nothing was said yet."""
    start = ask_to_connect(dev)
    with connect(start.gateway_endpoint, subprotocols=["v0.connect.inngest.com"]) as socket:  # type: ignore[list-item]
        yield RawWorker(socket, start.session_token)
