"""Monitoring and alerting: a high value raises an alarm, a low one does not."""

from kailash.workflow.async_builder import AsyncWorkflowBuilder

from steprig.workflows import AsyncTestUtils, AsyncWorkflowFixtures, AsyncWorkflowTestCase

monitor = (
    AsyncWorkflowBuilder("monitor")
    .add_async_code(
        "measure",
        """
metrics = await get_resource("metrics")
value = await metrics.read("cpu")
cache = await get_resource("cache")
await cache.set("cpu", value, ttl=60)
result = {"value": value}
""",
    )
    .add_async_code(
        "alert",
        """
alerted = value > threshold
if alerted:
    pager = await get_resource("pager")
    await pager.send(f"cpu at {value}", severity="high")
result = {"alerted": alerted}
""",
    )
    .add_connection("measure", "value", "alert", "value")
    .build()
)


class MonitorTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.metrics = await self.create_test_resource("metrics", None, mock=True)
        self.pager = await self.create_test_resource("pager", None, mock=True)
        self.cache = await self.create_test_resource("cache", AsyncWorkflowFixtures.create_test_cache)

    async def run_at(self, value):
        self.metrics.read.return_value = value
        result = await self.execute_workflow(monitor, {"threshold": 90})
        self.assert_workflow_success(result)
        return result

    async def test_a_high_value_alerts(self):
        result = await self.run_at(97)

        self.assert_node_output(result, "alert", expected=True, key="alerted")
        self.assert_resource_called("pager", "send", times=1, with_kwargs={"severity": "high"})

    async def test_a_low_value_does_not(self):
        result = await self.run_at(12)

        self.assert_node_output(result, "alert", expected=False, key="alerted")
        self.assert_resource_called("pager", "send", times=0)

    async def test_the_last_value_is_kept_for_a_minute(self):
        async with AsyncWorkflowFixtures.mock_time() as now:
            await self.run_at(50)
            assert await self.cache.get("cpu") == 50
            now.advance(61)
            assert await self.cache.get("cpu") is None

    async def test_ten_monitors_at_once(self):
        self.metrics.read.return_value = 1
        async with self.assert_time_limit(30):
            results = await AsyncTestUtils.run_concurrent(
                *(self.execute_workflow(monitor, {"threshold": 90}) for _ in range(10))
            )
        assert all(each.status == "success" for each in results)
