"""Queries for apps and functions."""

from typing import Any

from ariadne import QueryType

from steprig.inngest.graphql import render_apps
from steprig.inngest.graphql.lookup import Info, app_by_id

query = QueryType()

TYPES = (query,)


@query.field("apps")
def resolve_apps(_: object, info: Info, filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # noqa: A002
    """The registered apps. None is kept once it is archived."""
    asked = filter or {}
    if asked.get("archived"):
        return []
    method = asked.get("method")
    return [render_apps.app(app) for app in info.context.engine.apps if method in (None, app.method)]


@query.field("app")
def resolve_app(_: object, info: Info, id: str) -> dict[str, Any] | None:  # noqa: A002
    """An app by its id."""
    app = app_by_id(info.context, id)
    return None if app is None else render_apps.app(app)


@query.field("functions")
def resolve_functions(_: object, info: Info) -> list[dict[str, Any]]:
    """The functions of all apps."""
    return [render_apps.function(app, function) for app in info.context.engine.apps for function in app.functions]


@query.field("functionBySlug")
def resolve_function(_: object, info: Info, query: dict[str, Any]) -> dict[str, Any] | None:
    """A function by the id that it has across apps."""
    registered = info.context.engine.apps.function(query["functionSlug"])
    return None if registered is None else render_apps.function(registered.app, registered.function)
