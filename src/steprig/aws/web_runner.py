"""The service over HTTP, for clients, handlers and tools that know nothing of steprig."""

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from starlette.applications import Starlette

from steprig.aws import limits
from steprig.aws.engine import Engine
from steprig.aws.hosting.environment import HandlerProcess
from steprig.aws.hosting.hosts import Hosts
from steprig.aws.hosting.invocation_logs import InvocationLogs
from steprig.aws.hosting.lambda_endpoint import LambdaEndpoint
from steprig.aws.hosting.processes import PATIENCE, HandlerProcesses
from steprig.aws.hosting.recorded import recorded
from steprig.aws.http.app import create_app
from steprig.aws.http.backend import Backend
from steprig.aws.in_process import Handler, InProcessInvoker
from steprig.aws.moving import advance
from steprig.aws.projection import project
from steprig.aws.prompt import hurry_sdk as hurry
from steprig.aws.records import EXECUTION
from steprig.aws.registering import Registry
from steprig.aws.web_config import WebRunnerConfig, WebServiceConfig, function_configs
from steprig.kernel import Clock, Journal, RealClock, Timeline, VirtualClock
from steprig.live import Managed, UvicornTestServer

if TYPE_CHECKING:
    from botocore.client import BaseClient  # type: ignore[import-untyped]

_READ_TIMEOUT = 960
"""Seconds: longer than the longest call of a function, as a client that gives up sooner would repeat the call."""


class WebRunner(Managed):
    """A server with the Lambda API of durable executions, and Invoke. Use it as a context manager.

        with WebRunner(skip_time=True).register_durable_function("orders", handler) as runner:
            runner.client().invoke(FunctionName="orders", Payload=b"{}")

    Functions that are registered run in this process, or in processes of their own; all others at the Lambda endpoint,
    if there is one. What the store had under way when another process left it is resumed at `start`, so functions have
    to be registered before.

    Where time is skipped, waits and retries take none. Deadlines, such as the timeout of a callback, come about once
    as many real seconds have passed as they are long, or by `advance`.

    Args:
        config: Where it listens, keeps what it knows and calls functions; by default on a free port of 127.0.0.1, in
            memory, and nowhere.
        port: Instead of the configuration's; 0 for any free one.
        skip_time: Instead of the configuration's.
        clock: Instead of one of its own. It stays open.
        store: A journal, instead of the one that the configuration tells of. It stays open.
        hurry_sdk: False to leave the SDK in this process as slow as it is; see `steprig.aws.prompt`.

    Raises:
        DurableFunctionsTestError: The configuration makes no sense.
        JournalFileError: The store cannot be used.
    """

    def __init__(
        self,
        config: WebRunnerConfig | None = None,
        *,
        port: int | None = None,
        skip_time: bool | None = None,
        clock: Clock | None = None,
        store: Journal | None = None,
        hurry_sdk: bool = True,
    ) -> None:
        self.config = config if config is not None else WebRunnerConfig(web_service=WebServiceConfig(port=0))
        skips = self.config.skip_time if skip_time is None else skip_time
        configs = function_configs(self.config.function_configs)
        self._own_clock, self._own_journal = clock is None, store is None
        self._journal: Journal = store if store is not None else self.config.journal()
        self.clock: Clock = clock if clock is not None else VirtualClock() if skips else RealClock()
        self._invoker = InProcessInvoker(self.clock)
        self._logs = InvocationLogs()
        self._processes = HandlerProcesses(self.clock, lambda: self.environment, self._logs)
        self._endpoint = LambdaEndpoint(self.clock, self._logs, self.config.lambda_endpoint)
        self._here = Registry(self._invoker)
        self._elsewhere = Registry(self._processes, self._here.functions, init_seconds=PATIENCE)
        for name, function in configs.items():
            self._here.functions.add(function.target(name, self.config.execution_timeout_seconds))
        self._engine, self._backend = self._parts()
        web = self.config.web_service
        self._server = UvicornTestServer(
            create_app(self._backend, self._lifespan, max_request_size=web.max_request_size),
            web.host,
            web.port if port is None else port,
            strict_port=bool(web.port if port is None else port),
            lifespan="on",
            log_level=web.log_level.lower() if isinstance(web.log_level, str) else web.log_level,
        )
        self._hurry_sdk = hurry_sdk
        self._release_sdk: Callable[[], object] = _nothing
        self._over = threading.Event()
        self._stopping = threading.Event()
        self._state = "new"
        self._timeline: Timeline | None = None

    # --- Functions ----------------------------------------------------------------------------------

    def register_durable_function(
        self,
        function_name: str,
        handler: Handler | HandlerProcess,
        execution_timeout: int | None = None,
        retention_period_days: int = 1,
    ) -> Self:
        """Have a durable function invoked here.

        Args:
            function_name: With a qualifier, `name:1`, for that alone.
            handler: Decorated with `@durable_execution`; or the process that it lives in.
            execution_timeout: Seconds that its execution may take on the clock. Without it the configuration's, and
                without that one may take 120 real ones.
            retention_period_days: What its executions say of how long they are kept.
        """
        if execution_timeout is None:
            execution_timeout = self.config.execution_timeout_seconds
        if isinstance(handler, HandlerProcess):
            self._invoker.discard(function_name)
            self._elsewhere.add_durable(function_name, handler, execution_timeout, retention_period_days)
        else:
            self._processes.discard(function_name)
            self._here.add_durable(
                function_name, recorded(handler, self._logs), execution_timeout, retention_period_days
            )
        return self

    def register_function(self, function_name: str, handler: Handler | HandlerProcess) -> Self:
        """Have a function called here that is not durable: `handler(event, lambda_context)`, or its process."""
        if isinstance(handler, HandlerProcess):
            self._invoker.discard(function_name)
            self._elsewhere.add_plain(function_name, handler)
        else:
            self._processes.discard(function_name)
            self._here.add_plain(function_name, recorded(handler, self._logs))
        return self

    # --- Being there --------------------------------------------------------------------------------

    @property
    def endpoint_url(self) -> str:
        """What clients are given: `boto3.client("lambda", endpoint_url=runner.endpoint_url)`."""
        return self._server.base_url

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._server.is_running

    @property
    def logs(self) -> Sequence[str]:
        """What the server has logged."""
        return self._server.logs

    def function_logs(self, function_name: str) -> Sequence[str]:
        """What the processes of a function have written, of those that run.

        A Python handler's lines stand between START and END with the id of the invocation, as in Lambda's own logs.
        """
        return self._processes.logs(function_name)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables by which boto3 in another process finds the server."""
        region = self.config.local_runner_region
        return {
            "AWS_ENDPOINT_URL_LAMBDA": self.config.local_runner_endpoint or self.endpoint_url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "local",
        }

    @property
    def journal(self) -> Journal:
        """Where all is recorded."""
        return self._journal

    @property
    def timeline(self) -> Timeline:
        """All executions, with their steps."""
        if self._timeline is None:
            self._timeline = Timeline(self._journal, {EXECUTION: project})
        return self._timeline

    def client(self) -> "BaseClient":
        """A boto3 client of this server. It waits for the answer to Invoke as long as a function may take."""
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        return boto3.client(
            "lambda",
            endpoint_url=self.endpoint_url,
            region_name=self.config.local_runner_region,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - nobody checks it
            config=Config(read_timeout=_READ_TIMEOUT),
        )

    def advance(self, delta: timedelta = timedelta(), *, timeout: float = 10.0, **units: float) -> None:
        """Move the clock, and let all that falls due on the way happen: deadlines, too.

        Args:
            delta: How far.
            timeout: Real seconds that each moment on the way may take to settle.
            **units: More to go, as for `timedelta`: `hours=2`.

        Raises:
            DurableFunctionsTestError: The clock cannot be moved, as time is not skipped.
        """
        advance(self.clock, delta, instead="pass `skip_time=True`", timeout=timeout, **units)

    # --- Beginning and end --------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, and go on with what was under way. Returns itself once requests are answered.

        Raises:
            ServerStartupError: It did not come up: the port is in use, for one.
            RuntimeError: It was started before.
        """
        if self._state != "new":
            raise RuntimeError(f"the server is {self._state}; it runs once, make a new one")
        self._state = "running"
        if self._hurry_sdk:
            self._release_sdk = hurry()
        try:
            self._server.start()
        except BaseException:
            self._end()
            raise
        return self

    def serve_forever(self) -> None:
        """Block until `stop` is called from another thread, or Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self._stopping.wait()

    def stop(self) -> None:
        """End everything. Idempotent. Executions stay in the store; of one in memory they stay readable in `timeline`.

        What runs is cut off; whoever waits for a result is told that the service was stopped.
        """
        if self._state != "stopped":
            self._end()

    def _end(self) -> None:
        self._state = "stopped"
        self._engine.stop()
        self._backend.events.close()
        self._processes.close()
        with suppress(RuntimeError):  # it does not run any more
            self._server.loop.call_soon_threadsafe(self._backend.closing.set)
        self._server.stop()
        self._invoker.close()
        self._backend.close()
        self._release_sdk()
        if self._own_clock:
            self.clock.close()
        if self._own_journal:
            self._journal.close()
        self._stopping.set()

    def _parts(self) -> tuple[Engine, Backend]:
        hosts = Hosts(self._invoker, self._processes, self._endpoint)
        page_bytes, timeout = self.config.max_invocation_page_bytes, self.config.invocation_timeout_seconds
        engine = Engine(
            self.clock,
            self._journal,
            self._here.functions,
            hosts,
            invocation_timeout=timeout,
            page_bytes=limits.FIRST_PAGE_BYTES if page_bytes is None else page_bytes,
        )
        backend = Backend(
            engine,
            self._journal,
            self.clock,
            self._here.functions,
            hosts,
            self._logs,
            region=self.config.local_runner_region,
            account=self.config.account_id,
            execution_timeout=self.config.execution_timeout_seconds,
            invocation_timeout=timeout,
            use_endpoint=self._endpoint.use,
        )
        return engine, backend

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """What runs along with the server. Its socket listens by now: a handler that is resumed finds it."""
        del app
        await self._endpoint.open()
        if (last := self._journal.last_at()) is not None:
            self.clock.go_on_from(last)
        self._engine.resume()
        keeper = threading.Thread(target=self._engine.keep_deadlines, args=(self._over,), name="steprig-deadlines")
        keeper.start()
        try:
            yield
        finally:
            self._over.set()
            self._engine.wake()
            keeper.join()
            await self._endpoint.close()


def _nothing() -> None:
    """What is undone where nothing was done."""
