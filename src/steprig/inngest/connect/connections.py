"""The connections that workers have and had, for readers. What calls are sent by is in `workers`."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from steprig.inngest.connect.messages import Introduction
    from steprig.inngest.functions import App

ConnectionStatus = Literal["CONNECTED", "READY", "DRAINING", "DISCONNECTING", "DISCONNECTED"]

_KEPT = 1000
"""Connections that have ended."""


class ConnectedApp(msgspec.Struct, frozen=True):
    """An app that a worker has brought along."""

    name: str
    version: str | None
    functions: int
    group_hash: str
    """The same for workers with the same code."""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One connection of a worker, as it is now."""

    id: str
    instance_id: str
    worker_ip: str
    max_concurrency: int
    """0 for any number."""
    apps: tuple[ConnectedApp, ...]
    sdk_language: str
    sdk_version: str
    platform: str
    cpu_cores: int
    mem_bytes: int
    os: str
    connected_at: datetime
    status: ConnectionStatus = "CONNECTED"
    last_heartbeat_at: datetime | None = None
    disconnected_at: datetime | None = None
    disconnect_reason: str | None = None


class Connections:
    """All that there are, and the newest of those that there were.

    Args:
        now: Tells the time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._known: dict[str, Connection] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._known.values()))

    def of(self, connection_id: str) -> Connection | None:
        """The connection with this id."""
        return self._known.get(connection_id)

    def opened(self, introduction: "Introduction", apps: "list[App]", worker_ip: str) -> None:
        """A worker has introduced itself."""
        self._known[introduction.connection_id] = Connection(
            id=introduction.connection_id,
            instance_id=introduction.instance_id,
            worker_ip=worker_ip,
            max_concurrency=introduction.max_concurrency or 0,
            apps=tuple(ConnectedApp(app.name, app.version, len(app.functions), _group(app)) for app in apps),
            sdk_language=introduction.sdk_language,
            sdk_version=introduction.sdk_version,
            platform=introduction.platform,
            cpu_cores=introduction.cpu_cores,
            mem_bytes=introduction.mem_bytes,
            os=introduction.os,
            connected_at=self._now(),
        )

    def beat(self, connection_id: str) -> None:
        """A worker has shown that it is alive."""
        self._change(connection_id, last_heartbeat_at=self._now())

    def became(self, connection_id: str, status: ConnectionStatus) -> None:
        """A worker goes on in another way."""
        self._change(connection_id, status=status)

    def closed(self, connection_id: str, reason: str) -> None:
        """A connection has ended. Only the first end counts."""
        known = self._known.get(connection_id)
        if known is None or known.disconnected_at is not None:
            return
        self._change(
            connection_id, status="DISCONNECTED", disconnected_at=self._now(), disconnect_reason=reason or None
        )
        ended = [each.id for each in self._known.values() if each.disconnected_at is not None]
        for old in islice(ended, max(0, len(ended) - _KEPT)):
            del self._known[old]

    def _change(self, connection_id: str, **members: object) -> None:
        known = self._known.get(connection_id)
        if known is not None:
            self._known[connection_id] = msgspec.structs.replace(known, **members)


def _group(app: "App") -> str:
    sign = (app.name, app.version, app.sdk_language, app.sdk_version, [function.id for function in app.functions])
    return hashlib.sha256(msgspec.json.encode(sign)).hexdigest()
