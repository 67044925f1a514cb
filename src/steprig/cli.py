"""The command `steprig`."""

import sys
from importlib.metadata import version
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from steprig.commands.dev import ClockName, DevOptions, LogLevel, serve, what_to_try
from steprig.commands.foreground import ignore_signals
from steprig.errors import SteprigError

app = typer.Typer(
    name="steprig",
    help="The test rig for durable functions: real servers, real SDKs, no waiting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_WITHOUT_EFFECT: Final = "Of inngest-cli; accepted, and without effect."


def main() -> None:
    """Run the command line, and exit with its code: 0, 1 for a failure, 2 for wrong usage."""
    try:
        app()
    finally:
        ignore_signals()  # a second Ctrl-C must not interrupt the interpreter's own end


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


@app.command()
def dev(
    sdk_url: Annotated[
        list[str] | None,
        typer.Option(
            "--sdk-url",
            "-u",
            envvar="INNGEST_SDK_URL",
            parser=_http_url,
            metavar="URL",
            help="Where an app serves its functions, such as http://localhost:8000/api/inngest. May be repeated. "
            "While an app is not up, it is tried again every 5 s.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, envvar="INNGEST_PORT", help="0 for any free one.")
    ] = 8288,
    host: Annotated[
        str, typer.Option(envvar="INNGEST_HOST", help="The address to bind; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    no_discovery: Annotated[
        bool, typer.Option("--no-discovery", help="Do not look for apps on this machine's usual ports.")
    ] = False,
    no_poll: Annotated[
        bool, typer.Option("--no-poll", help="Do not ask the apps of --sdk-url again for changed functions.")
    ] = False,
    poll_interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two such questions.")] = 5.0,
    retry_interval: Annotated[
        float | None,
        typer.Option(min=0.001, help="Seconds between two attempts of a step, instead of the growing backoff."),
    ] = None,
    clock: Annotated[ClockName, typer.Option(help="skip: sleeps and retries take no time.")] = ClockName.REAL,
    event_key: Annotated[
        list[str] | None,
        typer.Option(envvar="INNGEST_EVENT_KEY", help="An event key to accept; any when there are none."),
    ] = None,
    signing_key: Annotated[
        str | None, typer.Option(envvar="INNGEST_SIGNING_KEY", help="Signs requests to apps, and is asked of them.")
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", "-l", help="info for a line per request, on standard error.")
    ] = LogLevel.WARN,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every run with its steps when it ends.")
    ] = False,
    no_ui: Annotated[bool, typer.Option("--no-ui", hidden=True, help=_WITHOUT_EFFECT)] = False,
    in_memory: Annotated[bool, typer.Option("--in-memory", hidden=True, help=_WITHOUT_EFFECT)] = False,
    tick: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    queue_workers: Annotated[int | None, typer.Option(hidden=True, help=_WITHOUT_EFFECT)] = None,
    connect_gateway_port: Annotated[int | None, typer.Option(hidden=True)] = None,
    persist: Annotated[bool, typer.Option("--persist", hidden=True)] = False,
    sqlite_dir: Annotated[str | None, typer.Option(hidden=True)] = None,
    config: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run an Inngest dev server, as `inngest-cli dev` does, until Ctrl-C.

    Cron triggers start functions. Runs are kept in memory. A port that is in use is an error.
    The options of `inngest-cli dev` are accepted; those with nothing to act on are named on standard error.
    """
    del no_ui, in_memory, tick, queue_workers
    _tell_of_the_unsupported(
        {
            "--persist": persist,
            "--sqlite-dir": sqlite_dir is not None,
            "--config": config is not None,
            "--connect-gateway-port": connect_gateway_port is not None,
        }
    )
    options = DevOptions(
        port=port,
        host=host,
        sdk_urls=tuple(sdk_url or ()),
        discovery=not no_discovery,
        poll_interval=None if no_poll else poll_interval,
        retry_interval=retry_interval,
        clock=clock,
        event_keys=tuple(event_key or ()),
        signing_key=signing_key,
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


def _tell_of_the_unsupported(given: dict[str, bool]) -> None:
    for name in (name for name, is_given in given.items() if is_given):
        typer.echo(f"steprig dev: {name} is not supported yet, and has no effect", err=True)


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
    sys.exit()
