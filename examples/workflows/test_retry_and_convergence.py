"""Retries with back-off, and values that settle."""

from kailash.workflow.async_builder import AsyncWorkflowBuilder

from steprig.workflows import AsyncAssertions, AsyncWorkflowTestCase

patient = (
    AsyncWorkflowBuilder("patient")
    .add_async_code(
        "call",
        """
service = await get_resource("service")
for attempt in range(1, 4):
    try:
        answer = await service.operation()
    except ConnectionError as error:
        if attempt == 3:
            raise
        await asyncio.sleep(0.001 * 2**attempt)
    else:
        break
result = {"answer": answer, "attempts": attempt}
""",
    )
    .build()
)

average = AsyncWorkflowBuilder("moving average").add_async_code("step", "result = mean + (target - mean) * 0.5").build()


class RetryTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.service = await self.create_test_resource("service", None, mock=True)

    async def test_it_succeeds_at_the_third_attempt(self):
        self.service.operation.side_effect = [ConnectionError("one"), ConnectionError("two"), {"ok": True}]

        result = await self.execute_workflow(patient)

        self.assert_node_output(result, "call", {"answer": {"ok": True}, "attempts": 3})
        errors = [str(call.exception) for call in self.service.get_calls("operation")[:2]]
        assert errors == ["one", "two"]

    async def test_it_gives_up_after_the_third(self):
        self.service.operation.side_effect = ConnectionError("down for good")

        result = await self.execute_workflow(patient)

        self.assert_workflow_failed(result)
        assert "down for good" in result.error
        self.assert_resource_called("service", "operation", times=3)


class ConvergenceTest(AsyncWorkflowTestCase):
    async def test_the_average_settles_at_its_target(self):
        mean = 0.0

        async def step():
            nonlocal mean
            result = await self.execute_workflow(average, {"mean": mean, "target": 100.0})
            mean = result.output("step")
            return mean

        settled = await AsyncAssertions.assert_converges(step, tolerance=1.0, timeout=30.0, samples=20, interval=0)

        assert abs(settled - 100) < 0.01
