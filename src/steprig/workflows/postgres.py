"""Databases on a PostgreSQL server: cloned from templates, dropped with force."""

import hashlib
import os
import threading
import uuid
from typing import Any
from urllib.parse import quote

from steprig.workflows.database import DatabaseFixture
from steprig.workflows.extras import needed
from steprig.workflows.postgres_server import PostgresServer

_LONGEST_NAME = 63
"""Bytes of an identifier that PostgreSQL keeps."""


class PostgresDatabases:
    """Makes and drops databases on one server. From any thread.

    Args:
        address: Of the server and a role that may create databases; its own database is left alone.
        is_own: Whether the server is this process's own, so that roles may be made on it.
    """

    def __init__(self, address: str, *, is_own: bool = False) -> None:
        self._psycopg = needed("psycopg", "postgres", "a PostgreSQL database")
        self._address = address
        self._is_own = is_own
        self._lock = threading.Lock()
        self._templates: dict[str, str] = {}

    def create(self, prefix: str, user: str, password: str, schema: str | None) -> DatabaseFixture:
        """Clone a database; see `AsyncWorkflowFixtures.create_test_database`."""
        info = self._psycopg.conninfo.conninfo_to_dict(self._address)
        name = _unique(prefix)
        if not self._is_own:
            user, password = str(info.get("user", "")), str(info.get("password", ""))
        with self._connect() as connection:
            if self._is_own:
                self._ensure_role(connection, user, password)
            template = "template0" if schema is None else self._template(connection, schema, user)
            self._run(connection, "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY wal_log", name, user, template)
        host, port = str(info.get("host", "")), int(info.get("port") or 5432)
        return DatabaseFixture(
            connection_string=_url(host, port, name, user, password, info, is_own=self._is_own),
            host=host,
            port=port,
            database=name,
            user=user,
            password=password,
            drop=lambda: self._drop(name, template if not self._is_own and schema is not None else None),
        )

    def _drop(self, *names: str | None) -> None:
        with self._connect() as connection:
            for name in filter(None, names):
                self._run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _template(self, connection: Any, schema: str, user: str) -> str:
        """The database in which the schema has been run, made when it is first asked for."""
        key = hashlib.sha256(f"{user}\0{schema}".encode()).hexdigest()
        with self._lock:
            if key not in self._templates:
                name = _unique("template")
                self._run(connection, "CREATE DATABASE {} OWNER {} TEMPLATE template0 STRATEGY wal_log", name, user)
                try:
                    self._run_schema(name, user, schema)
                except BaseException:
                    self._run(connection, "DROP DATABASE {} WITH (FORCE)", name)
                    raise
                self._templates[key] = name
            return self._templates[key]

    def _run_schema(self, name: str, user: str, schema: str) -> None:
        with self._connect(dbname=name, user=user) as connection:
            connection.execute(schema)

    def _ensure_role(self, connection: Any, user: str, password: str) -> None:
        with self._lock:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone()
            if known is None:
                self._run(connection, "CREATE ROLE {} LOGIN", user)
            connection.execute(
                self._psycopg.sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    self._psycopg.sql.Identifier(user), self._psycopg.sql.Literal(password)
                )
            )

    def _run(self, connection: Any, command: str, *names: str) -> None:
        sql = self._psycopg.sql
        connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))

    def _connect(self, **changes: str) -> Any:
        return self._psycopg.connect(self._address, autocommit=True, connect_timeout=10, **changes)


_own: dict[int, PostgresDatabases] = {}
_own_lock = threading.Lock()


def embedded() -> PostgresDatabases:
    """The server of this process, started when it is first asked for, and ended with the process."""
    with _own_lock:
        if os.getpid() not in _own:  # a forked process has a server of its own
            _own.clear()
            _own[os.getpid()] = PostgresDatabases(PostgresServer().start(), is_own=True)
        return _own[os.getpid()]


def _unique(prefix: str) -> str:
    suffix = f"_{uuid.uuid4().hex[:12]}"
    return prefix.encode()[: _LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix


def _url(host: str, port: int, name: str, user: str, password: str, info: dict[str, Any], *, is_own: bool) -> str:
    """A URL that psycopg and asyncpg read alike, also for a Unix socket."""
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    if is_own or host.startswith("/"):
        return f"postgresql://{who}@/{quote(name)}?host={quote(host, safe='')}&port={port}"
    options = "&".join(f"{key}={quote(str(info[key]), safe='')}" for key in ("sslmode",) if key in info)
    return f"postgresql://{who}@{host}:{port}/{quote(name)}" + (f"?{options}" if options else "")
