"""Runs a durable function on a server of its own, over HTTP: what a test of a deployed function does, without AWS."""

from datetime import timedelta
from typing import Self

from steprig.aws import limits
from steprig.aws.cloud_runner import DurableFunctionCloudTestRunner
from steprig.aws.hosting.environment import HandlerProcess
from steprig.aws.in_process import Handler
from steprig.aws.web_config import WebRunnerConfig, WebServiceConfig
from steprig.aws.web_runner import WebRunner
from steprig.kernel import Clock, Journal, Timeline

_POLL_INTERVAL = 0.05


class DurableFunctionWebTestRunner(DurableFunctionCloudTestRunner):
    """Runs a durable function behind the Lambda API. Use it as a context manager.

    A `WebRunner` has the function and whatever it invokes, on a free port of 127.0.0.1, and a
    `DurableFunctionCloudTestRunner` runs it there by boto3. Time is skipped as `WebRunner` skips it: a deadline, such
    as the timeout of a callback, comes in real time, or by `advance`.

    Args:
        handler: A function decorated with `@durable_execution`, or the process that it lives in.
        poll_interval: Seconds between looks at an execution.
        max_invocation_page_bytes: How much of the payloads an invocation is handed at once; 5 MiB unless told.
        execution_timeout: Seconds that an execution may take on the clock. Without it one may take 120 real seconds.
        invocation_timeout: Seconds that one invocation may take.
        store: A journal to record in, and to go on from. It stays open.
        skip_time: False to let all take its real time.
        region: Of the ARNs.
        function_name: What the function is called.
        clock: Instead of a clock of its own, which `skip_time` chooses. It stays open.
        hurry_sdk: False to leave the SDK in this process as slow as it is; see `steprig.aws.prompt`.

    Raises:
        ServerStartupError: The server did not come up.
    """

    def __init__(
        self,
        handler: Handler | HandlerProcess,
        poll_interval: float = _POLL_INTERVAL,
        max_invocation_page_bytes: int | None = None,
        execution_timeout: int | None = None,
        invocation_timeout: int = limits.INVOCATION_TIMEOUT,
        store: Journal | None = None,
        skip_time: bool = True,
        region: str = "us-west-2",
        *,
        function_name: str = "test-function",
        clock: Clock | None = None,
        hurry_sdk: bool = True,
    ) -> None:
        config = WebRunnerConfig(
            web_service=WebServiceConfig(port=0),
            local_runner_region=region,
            invocation_timeout_seconds=invocation_timeout,
            skip_time=skip_time,
            max_invocation_page_bytes=max_invocation_page_bytes,
        )
        self.web = WebRunner(config, clock=clock, store=store, hurry_sdk=hurry_sdk)
        self.web.register_durable_function(function_name, handler, execution_timeout).start()
        try:
            super().__init__(
                function_name,
                region,
                self.web.endpoint_url,
                poll_interval,
                client=self.web.client(),
                visible_within=0,
            )
        except BaseException:
            self.web.stop()
            raise

    @property
    def clock(self) -> Clock:
        """The server's."""
        return self.web.clock

    @property
    def journal(self) -> Journal:
        """Where the server records."""
        return self.web.journal

    @property
    def timeline(self) -> Timeline:
        """All executions, with their steps."""
        return self.web.timeline

    def register_durable_function(
        self,
        function_name: str,
        handler: Handler | HandlerProcess,
        execution_timeout: int | None = None,
        retention_period_days: int = 1,
    ) -> Self:
        """Let functions invoke a durable one. See `WebRunner.register_durable_function`."""
        self.web.register_durable_function(function_name, handler, execution_timeout, retention_period_days)
        return self

    def register_function(self, function_name: str, handler: Handler | HandlerProcess) -> Self:
        """Let functions invoke one that is not durable: `handler(event, lambda_context)`."""
        self.web.register_function(function_name, handler)
        return self

    def advance(self, delta: timedelta = timedelta(), *, timeout: float = 10.0, **units: float) -> None:
        """Move the clock, and let all that falls due on the way happen: deadlines, too. See `WebRunner.advance`."""
        self.web.advance(delta, timeout=timeout, **units)

    def close(self) -> None:
        """End everything. Idempotent. What has run stays readable in `timeline`."""
        super().close()
        self.lambda_client.close()
        self.web.stop()
