"""`steprig aws`: the service of durable executions in the foreground, and what one asks of it from a shell."""

import errno
import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from uuid import uuid4

import typer

from steprig.commands.foreground import INTERRUPTED, Foreground
from steprig.errors import SteprigError

if TYPE_CHECKING:
    from steprig.aws import WebRunner

app = typer.Typer(
    name="aws",
    help="AWS Lambda durable functions: a local service for boto3, handlers and tools.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DEFAULT_PORT = 5000
_FILE = "file://"
_TIMEOUT = 30.0


class LogLevel(StrEnum):
    """Python's levels, by all their names."""

    CRITICAL = "CRITICAL"
    FATAL = "FATAL"
    ERROR = "ERROR"
    WARN = "WARN"
    WARNING = "WARNING"
    INFO = "INFO"
    DEBUG = "DEBUG"
    NOTSET = "NOTSET"

    @property
    def number(self) -> int:
        """As `logging` has it; at least that of DEBUG, which lets everything pass."""
        return max(logging.DEBUG, logging.getLevelNamesMapping()[self.value])


class Mode(StrEnum):
    """What `dex-local-runner` calls a mode."""

    LOCAL = "local"


Endpoint = Annotated[
    str,
    typer.Option(
        "--local-runner-endpoint", envvar="AWS_DEX_LOCAL_RUNNER_ENDPOINT", metavar="URL", help="Where the service is."
    ),
]
Arn = Annotated[str, typer.Option("--durable-execution-arn", help="The execution.")]


def _configs(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(Path(text.removeprefix(_FILE)).read_text() if text.startswith(_FILE) else text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--function-configs: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"--function-configs has to be an object of JSON, not {text!r}")
    return found


def _handlers(texts: list[str] | None) -> list[tuple[str, str]]:
    found = [text.partition("=") for text in texts or ()]
    for name, _, handler in found:
        if not name or "." not in handler:
            raise typer.BadParameter(f"{name!r} needs a handler: name=module.function")
    return [(name, handler) for name, _, handler in found]


@app.command()
def start_server(
    host: Annotated[
        str, typer.Option(envvar="AWS_DEX_HOST", help="The address to bind; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="AWS_DEX_PORT", help="0 for any free one.")
    ] = _DEFAULT_PORT,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            envvar="AWS_DEX_LOG_LEVEL",
            case_sensitive=False,
            help="Of what is logged to stderr; INFO: a line per request.",
        ),
    ] = LogLevel.INFO,
    lambda_endpoint: Annotated[
        str,
        typer.Option(
            envvar="AWS_DEX_LAMBDA_ENDPOINT", metavar="URL", help="Where functions are called that are not given here."
        ),
    ] = "http://127.0.0.1:3001",
    local_runner_endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="AWS_DEX_LOCAL_RUNNER_ENDPOINT",
            metavar="URL",
            help="Where functions find the service, if not where it listens: behind a proxy, for one.",
        ),
    ] = None,
    local_runner_region: Annotated[
        str, typer.Option(envvar="AWS_DEX_LOCAL_RUNNER_REGION", help="Of the ARNs.")
    ] = "us-west-2",
    local_runner_mode: Annotated[
        Mode, typer.Option(envvar="AWS_DEX_LOCAL_RUNNER_MODE", hidden=True, help="There is no other than local.")
    ] = Mode.LOCAL,
    store_type: Annotated[
        str, typer.Option(envvar="AWS_DEX_STORE_TYPE", help="memory, sqlite, or filesystem: an SQLite file within.")
    ] = "memory",
    store_path: Annotated[
        Path | None, typer.Option(envvar="AWS_DEX_STORE_PATH", help="The file, or the directory.")
    ] = None,
    execution_timeout: Annotated[
        int | None,
        typer.Option(min=1, help="Seconds that an execution may take of a function that says nothing of it."),
    ] = None,
    invocation_timeout: Annotated[int, typer.Option(min=1, help="Seconds that one call of a function may take.")] = 900,
    skip_time: Annotated[bool, typer.Option("--skip-time/--no-skip-time", help="Waits and retries take none.")] = False,
    function_configs: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|file://PATH",
            help='The functions at the Lambda endpoint: {"name": {"DurableConfig": {"ExecutionTimeout": 60}}}.',
        ),
    ] = None,
    durable_function: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODULE.FUNCTION", help="A durable function to run in processes of its own."),
    ] = None,
    function: Annotated[
        list[str] | None, typer.Option(metavar="NAME=MODULE.FUNCTION", help="Likewise one that is not durable.")
    ] = None,
) -> None:
    """Run the service of durable executions until Ctrl-C."""
    logging.basicConfig(level=log_level.number, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
    durable, plain = _handlers(durable_function), _handlers(function)
    configs = _configs(function_configs)
    with Foreground() as foreground:
        try:
            from steprig.aws import HandlerProcess, WebRunner, WebRunnerConfig, WebServiceConfig

            runner = WebRunner(
                WebRunnerConfig(
                    web_service=WebServiceConfig(host, port, log_level.number),
                    lambda_endpoint=lambda_endpoint,
                    local_runner_endpoint=local_runner_endpoint,
                    local_runner_region=local_runner_region,
                    local_runner_mode=local_runner_mode.value,
                    store_type=store_type,
                    store_path=store_path,
                    execution_timeout_seconds=execution_timeout,
                    invocation_timeout_seconds=invocation_timeout,
                    skip_time=skip_time,
                    function_configs=configs,
                )
            )
            for name, handler in durable:
                runner.register_durable_function(name, HandlerProcess(handler))
            for name, handler in plain:
                runner.register_function(name, HandlerProcess(handler))
            with runner:
                foreground.say(_welcome(runner, skip_time))
                foreground.run()
        except (SteprigError, ImportError, ValueError) as error:
            _fail(f"steprig aws start-server: {error}{_what_to_try(error)}")
    if foreground.was_interrupted:
        raise typer.Exit(INTERRUPTED)


def _what_to_try(error: BaseException) -> str:
    cause = error.__cause__
    in_use = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
    return "\nChoose another port with --port (0 for any free one), or stop what runs there." if in_use else ""


def _welcome(runner: "WebRunner", skips: bool) -> str:
    pace = "skipping waits" if skips else "in real time"
    return (
        f"AWS durable executions at {runner.endpoint_url}, {pace}. Ctrl-C stops it.\n"
        f"boto3 finds it with AWS_ENDPOINT_URL_LAMBDA={runner.environment['AWS_ENDPOINT_URL_LAMBDA']}."
    )


@app.command()
def invoke(
    function_name: Annotated[str, typer.Option(help="The function.")],
    input: Annotated[str | None, typer.Option("--input", metavar="JSON", help="Its input.")] = None,  # noqa: A002
    durable_execution_name: Annotated[
        str | None, typer.Option(help="The execution's name; the same name and input start nothing anew.")
    ] = None,
    execution_timeout: Annotated[
        int | None, typer.Option(min=1, help="Seconds that it may take, if not what the function says.")
    ] = None,
    endpoint: Endpoint = f"http://127.0.0.1:{_DEFAULT_PORT}",
) -> None:
    """Start an execution, and print its ARN."""
    body: dict[str, object] = {
        "AccountId": "123456789012",
        "FunctionName": function_name,
        "FunctionQualifier": "$LATEST",
        "ExecutionName": durable_execution_name or str(uuid4()),
        "ExecutionRetentionPeriodDays": 7,
        "Input": input,
    }
    if execution_timeout is not None:
        body["ExecutionTimeoutSeconds"] = execution_timeout
    _show(endpoint, "POST", "/start-durable-execution", body)


@app.command()
def get_durable_execution(arn: Arn, endpoint: Endpoint = f"http://127.0.0.1:{_DEFAULT_PORT}") -> None:
    """Print what an execution is."""
    _show(endpoint, "GET", f"/2025-12-01/durable-executions/{quote(arn, safe='')}")


@app.command()
def get_durable_execution_history(arn: Arn, endpoint: Endpoint = f"http://127.0.0.1:{_DEFAULT_PORT}") -> None:
    """Print the history of an execution."""
    path = f"/2025-12-01/durable-executions/{quote(arn, safe='')}/history?IncludeExecutionData=true&MaxItems=1000"
    _show(endpoint, "GET", path)


def _show(endpoint: str, method: str, path: str, body: object = None) -> None:
    """Print the answer to a request; a refusal ends the command with 1."""
    import httpx

    try:
        answer = httpx.request(method, f"{endpoint.rstrip('/')}{path}", json=body, timeout=_TIMEOUT)
        told = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        _fail(f"steprig aws: expected the service at {endpoint}: {error}. `steprig aws start-server` starts one.")
    if answer.is_error:
        code = answer.headers.get("x-amzn-ErrorType", answer.status_code)
        _fail(f"steprig aws: {code}: {told.get('message') or told.get('Message')}")
    typer.echo(json.dumps(told, indent=2))


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)
