"""A dev server, an app that serves functions, and what a test does with both."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import inngest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.options import Options
from steprig.inngest.projection import InngestRun
from steprig.inngest.signing import hash_signing_key
from steprig.kernel import Status, VirtualClock
from steprig.live import UvicornTestServer

from ..waiting import until
from .stacks import Body, Call, Stack, watched, written_for
from .tornado_server import TornadoServer

PATIENCE = 15.0
"""Real seconds for what takes milliseconds."""


class Stage:
    """A dev server with a virtual clock, and one app on one stack. Serves at the first `serve`, `send` or `run`."""

    def __init__(self, stack: Stack, dev: DevServer, **client_options: Any) -> None:
        self.stack = stack
        self.dev = dev
        self.app_id = f"app-{uuid4().hex[:8]}"
        options = {"is_production": False} | client_options
        self.client = inngest.Inngest(
            app_id=self.app_id, api_base_url=dev.origin, event_api_base_url=dev.origin, **options
        )
        keep_no_connection(self.client)
        self.http = httpx.Client(base_url=dev.origin, timeout=PATIENCE, headers=_bearer(dev._platform.options))
        self.calls: list[Call] = []
        self._functions: dict[str, inngest.Function[Any]] = {}
        self._servers: list[UvicornTestServer | TornadoServer] = []

    @property
    def clock(self) -> VirtualClock:
        assert isinstance(self.dev.clock, VirtualClock)
        return self.dev.clock

    # --- Arranging ----------------------------------------------------------------------------------

    def function(self, fn_id: str, trigger: Any = None, **options: Any) -> Callable[[Body], inngest.Function[Any]]:
        """Declare a function; `yield` in it means `await`. By default the event `test/<fn_id>` starts it."""
        if "on_failure" in options:
            options["on_failure"] = self.written(options["on_failure"])
        declare = self.client.create_function(
            fn_id=fn_id, trigger=trigger or inngest.TriggerEvent(event=f"test/{fn_id}"), **options
        )

        def register(body: Body) -> inngest.Function[Any]:
            self._functions[fn_id] = declare(self.written(body))
            return self._functions[fn_id]

        return register

    def written(self, body: Body) -> Body:
        """A piece of a function, such as a branch of a parallel group, as this stack has it."""
        return written_for(self.stack, body)

    def forget(self, fn_id: str) -> None:
        """Leave a function out of what is served from the next `serve` on."""
        del self._functions[fn_id]

    def serve(self, port: int | None = None) -> UvicornTestServer | TornadoServer:
        """Serve what is declared, on a port of its own or on this one, and register it."""
        app = self.stack.serve(self.client, list(self._functions.values()))
        server = self._server(watched(app, self.stack, self.calls), port)
        self._servers.append(server.start())
        self.dev.sync(server.url(self.stack.path))
        return server

    def _server(self, app: Any, port: int | None) -> UvicornTestServer | TornadoServer:
        if self.stack.interface == "tornado":
            return TornadoServer(app, port)
        return UvicornTestServer(
            app, port=port, strict_port=port is not None, interface=self.stack.interface, lifespan="off"
        )

    # --- Acting -------------------------------------------------------------------------------------

    def send(self, name: str, data: Any = None, **fields: Any) -> str:
        """Send an event by the SDK. Returns its internal id."""
        if not self._servers and self._functions:
            self.serve()
        (event_id,) = self.client.send_sync(inngest.Event(name=name, data=data or {}, **fields))
        return event_id

    def start(self, fn_id: str, data: Any = None, **fields: Any) -> str:
        """Send a function's event. Returns the id of the run."""
        event_id = self.send(f"test/{fn_id}", data, **fields)
        (run,) = self.runs_of(event_id)
        return str(run["run_id"])

    def run(self, fn_id: str, data: Any = None, **fields: Any) -> InngestRun:
        """Send a function's event and wait for the end of the run."""
        return self.ended(self.start(fn_id, data, **fields))

    # --- Seeing -------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """The `data` that the REST API has at a path."""
        return self.http.get(path).raise_for_status().json()["data"]

    def runs_of(self, event_id: str) -> Any:
        """The runs that an event has started."""
        return self.get(f"/v1/events/{event_id}/runs")

    def reached(self, run_id: str, condition: Callable[[InngestRun], bool]) -> InngestRun:
        """The run once it is as wished."""
        run = self.dev.timeline.wait_for(run_id, condition, timeout=PATIENCE)
        assert isinstance(run, InngestRun)
        return run

    def ended(self, run_id: str) -> InngestRun:
        """The run once it is over."""
        return self.reached(run_id, lambda run: run.status.ended)

    def waiting(self, run_id: str, step: str) -> InngestRun:
        """The run once a step of it waits."""
        return self.reached(
            run_id, lambda run: any(span.name == step and span.status is Status.WAITING for span in run.spans)
        )

    def runs(self, fn_id: str) -> list[InngestRun]:
        """All runs of a function, oldest first."""
        return [run for run in self.dev.timeline.runs() if run.name == f"{self.app_id}-{fn_id}"]  # type: ignore[misc]

    def first_run(self, fn_id: str) -> InngestRun:
        """The first run of a function that something else starts, as soon as it is there."""
        run: InngestRun = until(lambda: self.runs(fn_id), f"a run of {fn_id}")[0]
        return run

    def only_run(self, fn_id: str) -> InngestRun:
        """The one run of a function that something else starts, once it is over."""
        run = self.ended(self.first_run(fn_id).id)
        assert [other.id for other in self.runs(fn_id)] == [run.id]
        return run

    def calls_of(self, fn_id: str) -> list[str]:
        """The steps that calls of a function were for; `step` stands for a call to see what comes next."""
        return [call.step for call in list(self.calls) if call.function == f"{self.app_id}-{fn_id}"]

    def events(self, name: str) -> Any:
        """The events with a name, the newest first."""
        return self.http.get("/v1/events", params={"name": name, "limit": 1000}).raise_for_status().json()["data"]

    def close(self) -> None:
        """End what was served."""
        self.http.close()
        for server in self._servers:
            server.stop()


def _bearer(options: Options) -> dict[str, str]:
    """What the API asks for in cloud mode."""
    key = options.signing_key if options.kind == "cloud" else None
    return {} if key is None else {"authorization": f"Bearer {hash_signing_key(key)}"}


def keep_no_connection(client: inngest.Inngest) -> None:
    """The SDK never closes its HTTP clients: the garbage collector would find the sockets that they keep."""
    http = client._http_client
    for pooled in (http._http_client, http._http_client_sync):
        pooled.headers["Connection"] = "close"


def output(run: InngestRun) -> Any:
    """What a run gave, decoded."""
    assert run.output is not None, f"{run.name} has no output; it is {run.status}"
    return json.loads(bytes(run.output))
