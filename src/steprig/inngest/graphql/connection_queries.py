"""Queries for the connections of workers."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from ariadne import QueryType
from graphql import GraphQLError

from steprig.inngest.connect.connections import ConnectedApp, Connection
from steprig.inngest.graphql import render_apps
from steprig.inngest.graphql.lookup import Info
from steprig.inngest.graphql.paging import Page, connection
from steprig.inngest.graphql.values import time
from steprig.inngest.ids import app_uuid
from steprig.inngest.platform import InngestPlatform

query = QueryType()

TYPES = (query,)

_MOMENTS: dict[str, Callable[[Connection], datetime | None]] = {
    "CONNECTED_AT": lambda found: found.connected_at,
    "LAST_HEARTBEAT_AT": lambda found: found.last_heartbeat_at,
    "DISCONNECTED_AT": lambda found: found.disconnected_at,
}
_NEWEST_FIRST = [{"field": "CONNECTED_AT", "direction": "DESC"}]
_USUAL, _MOST = 40, 400


class _Row(NamedTuple):
    """A connection, for one of its apps."""

    connection: Connection
    app: ConnectedApp


@query.field("workerConnection")
def resolve_connection(_: object, info: Info, connectionId: str) -> dict[str, Any]:  # noqa: N803
    """A connection by its id, with the first of its apps."""
    found = info.context.gateway.connections.of(connectionId)
    if found is None:
        raise GraphQLError("error retrieving worker connection: sql: no rows in result set")
    return _node(info.context, _Row(found, found.apps[0]))


@query.field("workerConnections")
def resolve_connections(
    _: object,
    info: Info,
    first: int,
    orderBy: list[dict[str, str]],  # noqa: N803
    filter: dict[str, Any],  # noqa: A002
    after: str | None = None,
) -> dict[str, Any]:
    """The connections that pass a filter, in order, page by page: one for each app that a connection has."""
    platform = info.context
    return connection(
        lambda: iter(_sorted(_filtered(platform, filter), orderBy or _NEWEST_FIRST)),
        Page(first if 0 < first < _MOST else _USUAL, after),
        id_of=lambda row: f"{row.connection.id} {row.app.name}",
        node=lambda row: _node(platform, row),
    )


def _filtered(platform: InngestPlatform, asked: dict[str, Any]) -> Iterator[_Row]:
    """Those that pass a filter."""
    moment_of = _MOMENTS[asked.get("timeField") or "CONNECTED_AT"]
    statuses, apps = asked.get("status"), asked.get("appIDs")
    start, end = asked.get("from"), asked.get("until")
    for found in platform.gateway.connections:
        moment = moment_of(found)
        if statuses and found.status not in statuses:
            continue
        if (start or end) and (moment is None or (start and moment < start) or (end and moment >= end)):
            continue
        yield from (_Row(found, app) for app in found.apps if not apps or str(app_uuid(app.name)) in apps)


def _sorted(rows: Iterator[_Row], order: list[dict[str, str]]) -> list[_Row]:
    found = list(rows)
    for rule in reversed(order):  # a sort keeps the order of equals, so that the first rule comes last
        moment_of = _MOMENTS[rule["field"]]
        found.sort(key=lambda row: _key(moment_of(row.connection)), reverse=rule["direction"] == "DESC")
    return found


def _key(moment: datetime | None) -> tuple[bool, float]:
    """What has not come yet counts as the latest."""
    return (moment is None, 0.0 if moment is None else moment.timestamp())


def _node(platform: InngestPlatform, row: _Row) -> dict[str, Any]:
    """`ConnectV1WorkerConnection`."""
    found, app = row
    registered = platform.engine.apps.app(app.name)
    return {
        "id": found.id,
        "gatewayId": platform.gateway.id,
        "instanceId": found.instance_id,
        "workerIp": found.worker_ip,
        "maxWorkerConcurrency": found.max_concurrency,
        "appName": app.name,
        "appID": str(app_uuid(app.name)),
        "app": None if registered is None else render_apps.app(registered),
        "connectedAt": time(found.connected_at),
        "lastHeartbeatAt": time(found.last_heartbeat_at),
        "disconnectedAt": time(found.disconnected_at),
        "disconnectReason": found.disconnect_reason,
        "status": found.status,
        "groupHash": app.group_hash,
        "sdkLang": found.sdk_language,
        "sdkVersion": found.sdk_version,
        "sdkPlatform": found.platform,
        "buildId": app.version,
        "appVersion": app.version,
        "functionCount": app.functions,
        "cpuCores": found.cpu_cores,
        "memBytes": found.mem_bytes,
        "os": found.os,
    }
