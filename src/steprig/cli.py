"""The command `steprig`."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from steprig.commands import aws, config_file
from steprig.commands.dev import DEFAULT_CONNECT_PORT, ClockName, DevOptions, LogLevel, serve, what_to_try
from steprig.commands.foreground import Foreground
from steprig.errors import SteprigError
from steprig.inngest.settings import DEFAULT_PORT

app = typer.Typer(
    name="steprig",
    help="The test rig for durable functions: real servers, real SDKs, no waiting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(aws.app)

_WITHOUT_EFFECT: Final = "Of inngest-cli; accepted, and without effect."


def main() -> None:
    """Run the command line, and exit with its code: 0, 1 for a failure, 2 for wrong usage."""
    Foreground.ends_process = True
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steprig {version('steprig')}")
        raise typer.Exit


@app.callback()
def steprig(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The test rig for durable functions: real servers, real SDKs, no waiting."""


def _http_url(text: str) -> str:
    """An app's URL; like inngest-cli, one may leave out the scheme."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise typer.BadParameter(f"{text!r} is no URL of an app, such as http://localhost:8000/api/inngest")
    return url


def _http_urls(texts: list[str] | None) -> list[str]:
    return [_http_url(text) for text in _listed(texts)]


def _listed(texts: list[str] | None) -> list[str]:
    """Like inngest-cli, one may separate several by commas."""
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def _configured(context: typer.Context, path: str | None) -> str | None:
    """Take from the configuration file what neither the command line nor the environment says."""
    try:
        if path is not None:
            found = Path(path)
        elif (searched := config_file.search(Path.cwd(), Path.home())) is not None:
            found = searched
        else:
            return None
        said = config_file.read(found)
    except config_file.ConfigFileError as error:
        if path is not None:
            raise typer.BadParameter(str(error)) from None
        typer.echo(f"steprig dev: {error}", err=True)
        return None
    typer.echo(f"Using {found}.")
    context.default_map = {name.replace("-", "_"): value for name, value in said.items()}
    return str(found)


@app.command()
def dev(
    sdk_url: Annotated[
        list[str] | None,
        typer.Option(
            "--sdk-url",
            "-u",
            envvar="INNGEST_SDK_URL",
            callback=_http_urls,
            metavar="URL",
            help="Where an app serves its functions, such as http://localhost:8000/api/inngest. May be repeated. "
            "While an app is not up, it is tried again every 5 s.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, envvar="INNGEST_PORT", help="0 for any free one.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(envvar="INNGEST_HOST", help="The address to bind; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    no_discovery: Annotated[
        bool,
        typer.Option(
            "--no-discovery", envvar="INNGEST_NO_DISCOVERY", help="Do not look for apps on this machine's usual ports."
        ),
    ] = False,
    no_poll: Annotated[
        bool,
        typer.Option("--no-poll", envvar="INNGEST_NO_POLL", help="Do not ask apps again for changed functions."),
    ] = False,
    poll_interval: Annotated[
        float, typer.Option(min=0.1, envvar="INNGEST_POLL_INTERVAL", help="Seconds between two such questions.")
    ] = 5.0,
    retry_interval: Annotated[
        float | None,
        typer.Option(
            min=0,
            envvar="INNGEST_RETRY_INTERVAL",
            help="Seconds between two attempts of a step, instead of the growing backoff; 0 for that.",
        ),
    ] = None,
    connect_gateway_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            envvar="INNGEST_CONNECT_GATEWAY_PORT",
            help="A second port for workers that connect; the next free one where it is in use. "
            "By default 8289 beside 8288, and none beside another --port.",
        ),
    ] = None,
    clock: Annotated[ClockName, typer.Option(help="skip: sleeps and retries take no time.")] = ClockName.REAL,
    persist: Annotated[
        bool,
        typer.Option("--persist", envvar="INNGEST_PERSIST", help="Keep apps, events and runs in .inngest/steprig.db."),
    ] = False,
    sqlite_dir: Annotated[
        Path | None,
        typer.Option(envvar="INNGEST_SQLITE_DIR", help="Keep them in steprig.db in this directory.", file_okay=False),
    ] = None,
    event_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="INNGEST_EVENT_KEY", callback=_listed, help="An event key to accept; any when there are none."
        ),
    ] = None,
    signing_key: Annotated[
        str | None, typer.Option(envvar="INNGEST_SIGNING_KEY", help="Signs requests to apps, and is asked of them.")
    ] = None,
    signing_key_fallback: Annotated[
        str | None,
        typer.Option(envvar="INNGEST_SIGNING_KEY_FALLBACK", help="A second key that is accepted of apps."),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", "-l", help="info for a line per request, on standard error.")
    ] = LogLevel.WARN,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every run with its steps when it ends.")
    ] = False,
    config: Annotated[
        str | None,
        typer.Option(
            envvar="INNGEST_CONFIG",
            callback=_configured,
            is_eager=True,
            metavar="FILE",
            help="A file with options in JSON; by default inngest.json here or above.",
        ),
    ] = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", hidden=True, help=_WITHOUT_EFFECT)] = False,
    in_memory: Annotated[bool, typer.Option("--in-memory", hidden=True, help=_WITHOUT_EFFECT)] = False,
    tick: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    queue_workers: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    connect_gateway_grpc_port: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    connect_executor_grpc_port: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    debug_api_port: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    postgres_max_idle_conns: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    postgres_max_open_conns: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    postgres_conn_max_idle_time: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    postgres_conn_max_lifetime: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    postgres_uri: Annotated[str | None, typer.Option(envvar="INNGEST_POSTGRES_URI", hidden=True)] = None,
    redis_uri: Annotated[str | None, typer.Option(envvar="INNGEST_REDIS_URI", hidden=True)] = None,
    system_trace_endpoint: Annotated[str | None, typer.Option(hidden=True)] = None,
    system_trace_url_path: Annotated[str | None, typer.Option(hidden=True)] = None,
    json_logs: Annotated[bool, typer.Option("--json", hidden=True)] = False,
) -> None:
    """Run an Inngest dev server, as `inngest-cli dev` does, until Ctrl-C.

    Cron triggers start functions. Runs are kept in memory, unless --persist is given. A --port in use is an error.
    The options of `inngest-cli dev` are accepted; those with nothing to act on are named on standard error.
    """
    del config, no_ui, in_memory, tick, queue_workers, connect_gateway_grpc_port, connect_executor_grpc_port
    del debug_api_port, postgres_max_idle_conns, postgres_max_open_conns, postgres_conn_max_idle_time
    del postgres_conn_max_lifetime
    kept = "runs are kept in memory, or with --persist in a file"
    _tell_of_the_unheeded(
        {
            "--postgres-uri": kept if postgres_uri is not None else "",
            "--redis-uri": kept if redis_uri is not None else "",
            "--system-trace-endpoint": "steprig traces nothing of its own" if system_trace_endpoint else "",
            "--system-trace-url-path": "steprig traces nothing of its own" if system_trace_url_path else "",
            "--json": "what steprig writes is text" if json_logs else "",
        }
    )
    options = DevOptions(
        port=port,
        host=host,
        sdk_urls=tuple(sdk_url or ()),
        discovery=not no_discovery,
        poll_interval=None if no_poll else poll_interval,
        retry_interval=retry_interval or None,
        connect_port=_connect_port(port, connect_gateway_port),
        clock=clock,
        kept_in=sqlite_dir or (Path(".inngest") if persist else None),
        event_keys=tuple(event_key or ()),
        signing_key=signing_key,
        signing_key_fallback=signing_key_fallback,
        log_level=log_level,
        show_runs=verbose,
    )
    try:
        serve(options)
    except (SteprigError, ImportError) as error:
        _fail(f"steprig dev: {error}{what_to_try(error)}")


@app.command()
def doctor() -> None:
    """Check what steprig needs on this machine. The exit code is 1 when something that it needs is broken."""
    from steprig.commands.doctor import examine, show

    findings = examine()
    show(findings)
    if any(finding.is_broken for finding in findings):
        raise typer.Exit(1)


def _connect_port(port: int, asked: int | None) -> int | None:
    """Where workers connect: beside the usual port there is a usual one for them, too."""
    return DEFAULT_CONNECT_PORT if asked is None and port == DEFAULT_PORT else asked


def _tell_of_the_unheeded(reasons: dict[str, str]) -> None:
    for name, reason in reasons.items():
        if reason:
            typer.echo(f"steprig dev: {name} has no effect: {reason}", err=True)


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
    sys.exit()
