"""A data pipeline of three nodes: with mocks, and with a real database."""

import psycopg
from kailash.workflow.async_builder import AsyncWorkflowBuilder

from steprig.workflows import AsyncWorkflowFixtures, AsyncWorkflowTestCase

SCHEMA = """
CREATE TABLE orders (id int PRIMARY KEY, cents int);
CREATE TABLE totals (kind text, cents int);
INSERT INTO orders VALUES (1, 500), (2, 12000), (3, 700);
"""

pipeline = (
    AsyncWorkflowBuilder("order totals")
    .add_async_code(
        "extract",
        """
db = await get_resource("db")
records = await db.fetch("SELECT id, cents FROM orders ORDER BY id")
result = {"records": records, "record_count": len(records)}
""",
    )
    .add_async_code(
        "transform",
        """
totals = {}
for number, cents in records:
    kind = "large" if cents >= limit else "small"
    totals[kind] = totals.get(kind, 0) + cents
result = {"totals": totals, "processed_records": len(records)}
""",
    )
    .add_async_code(
        "load",
        """
db = await get_resource("db")
await db.bulk_insert("totals", sorted(totals.items()))
result = {"rows": len(totals)}
""",
    )
    .add_connection("extract", "records", "transform", "records")
    .add_connection("transform", "totals", "load", "totals")
    .build()
)


class Database:
    """What the application's nodes use."""

    def __init__(self, connection):
        self.connection = connection

    async def fetch(self, query):
        return [list(row) for row in await (await self.connection.execute(query)).fetchall()]

    async def bulk_insert(self, table, rows):
        async with self.connection.cursor() as cursor:
            await cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", rows)

    async def close(self):
        await self.connection.close()


class PipelineWithMocksTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.db = await self.create_test_resource("db", lambda: None, mock=True)
        self.db.fetch.return_value = [[1, 500], [2, 12000]]

    async def test_orders_are_summed_up_by_kind(self):
        result = await self.execute_workflow(pipeline, {"limit": 10000})

        self.assert_workflow_success(result)
        self.assert_node_output(result, "transform", {"small": 500, "large": 12000}, "totals")
        assert result.get_output("extract", "record_count") == 2
        self.assert_resource_called(
            "db", "bulk_insert", times=1, with_args=("totals", [("large", 12000), ("small", 500)])
        )


class PipelineWithDatabaseTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.server = await self.create_test_resource(
            "server", lambda: AsyncWorkflowFixtures.create_test_database(database="shop", schema=SCHEMA)
        )
        self.db = await self.create_test_resource("db", self.connect, mock=True)  # real, and its calls are tracked

    async def connect(self):
        return Database(await psycopg.AsyncConnection.connect(self.server.connection_string, autocommit=True))

    async def test_totals_arrive_in_the_database(self):
        async with self.assert_time_limit(30):
            result = await self.execute_workflow(pipeline, {"limit": 10000})

        self.assert_workflow_success(result)
        assert await self.db.fetch("SELECT * FROM totals ORDER BY kind") == [["large", 12000], ["small", 1200]]
        self.assert_resource_called("db", "bulk_insert", times=1)
