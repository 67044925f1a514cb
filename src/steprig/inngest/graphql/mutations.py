"""What GraphQL changes: apps, and runs."""

from typing import Any

import msgspec
from ariadne import MutationType
from graphql import GraphQLError

from steprig.inngest.flow.arrivals import NotStartedError
from steprig.inngest.functions import App
from steprig.inngest.graphql import render, render_apps
from steprig.inngest.graphql.lookup import Info, app_by_id, run_by_id
from steprig.inngest.ingestion import EventError
from steprig.inngest.opcodes import StepId
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.records import RunId
from steprig.inngest.reruns import FromStep, RerunError
from steprig.inngest.routes.invocations import invoke
from steprig.inngest.syncing import SyncError, place

mutation = MutationType()

TYPES = (mutation,)


@mutation.field("createApp")
async def create_app(_: object, info: Info, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002
    """Have the app at a URL register."""
    url = input["url"]
    return await _sync(info.context, url if "://" in url else f"http://{url}")


@mutation.field("updateApp")
async def update_app(_: object, info: Info, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002
    """Have an app register that has moved to another URL."""
    _app(info.context, input["id"])
    return await _sync(info.context, input["url"])


@mutation.field("deleteApp")
def delete_app(_: object, info: Info, id: str) -> str:  # noqa: A002
    """Forget an app."""
    info.context.engine.remove(_app(info.context, id).name)
    return id


@mutation.field("deleteAppByName")
def delete_app_by_name(_: object, info: Info, name: str) -> bool:
    """Forget an app. False when there is none of this name."""
    engine = info.context.engine
    app = engine.apps.app(name)
    if app is not None:
        engine.remove(app.name)
    return app is not None


@mutation.field("invokeFunction")
def invoke_function(
    _: object,
    info: Info,
    functionSlug: str,  # noqa: N803
    data: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    **_unused: object,
) -> bool:
    """Start a function, without waiting for it."""
    body = msgspec.json.encode({"data": data or {}, "user": user or {}})
    try:
        invoke(info.context, functionSlug, body)
    except EventError as error:
        raise GraphQLError(str(error)) from error
    return True


@mutation.field("cancelRun")
def cancel_run(_: object, info: Info, runID: str) -> dict[str, Any]:  # noqa: N803
    """End a run that goes on."""
    platform = info.context
    run_by_id(platform, runID)
    with platform.rig.clock.working("a request to cancel a run"):
        if not platform.engine.cancel(RunId(runID)):
            raise GraphQLError("cannot cancel an ended run")
    run = run_by_id(platform, runID)
    return render.function_run(platform, run, run.events[0])


@mutation.field("rerun")
def rerun(
    _: object,
    info: Info,
    runID: str,  # noqa: N803
    fromStep: dict[str, Any] | None = None,  # noqa: N803
    **_unused: object,
) -> RunId:
    """Run a function again with the events of a run, from its start or from one of its steps."""
    platform = info.context
    run_by_id(platform, runID)
    step = None if fromStep is None else FromStep(StepId(fromStep["stepID"]), fromStep.get("input"))
    try:
        with platform.rig.clock.working("a request to rerun a run"):
            return platform.engine.rerun(RunId(runID), step)
    except (RerunError, NotStartedError) as error:
        raise GraphQLError(str(error)) from error


def _app(platform: InngestPlatform, ident: str) -> App:
    app = app_by_id(platform, ident)
    if app is None:
        raise GraphQLError(f"id is {ident!r}; no app with this id is registered")
    return app


async def _sync(platform: InngestPlatform, url: str) -> dict[str, Any]:
    try:
        await platform.syncer.sync(url)
    except SyncError as error:
        raise GraphQLError(error.code, extensions={"detail": str(error)}) from error
    for app in platform.engine.apps:
        if place(app.url) == place(url):
            return render_apps.app(app)
    raise GraphQLError(f"url is {url!r}; the app has registered, but says that it is at another URL")
