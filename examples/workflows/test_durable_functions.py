"""Functions of Inngest, AWS and Durable Task as workflows: each really sleeps for a month, and no test waits."""

from datetime import timedelta

import inngest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

from steprig.durabletask.workflow_runner import DurableTaskWorkflow
from steprig.workflows import AsyncWorkflowTestCase

client = inngest.Inngest(app_id="shop", is_production=False)


@client.create_function(fn_id="inngest-bill", trigger=inngest.TriggerEvent(event="shop/ordered"))
async def inngest_bill(ctx):
    async def charge():
        return {"receipt": {"cents": ctx.event.data["cents"]}}

    await ctx.step.sleep("a month", timedelta(days=30))
    return await ctx.step.run("charge", charge)


@durable_execution
def aws_bill(event, context):
    context.wait(Duration.from_days(30), name="a month")
    return context.step(lambda step: {"receipt": {"cents": event["cents"]}}, name="charge")


def charge(context, cents):
    if cents < 0:
        raise ValueError(f"nobody is charged {cents}")
    return {"receipt": {"cents": cents}}


def bill(context, order):
    yield context.create_timer(timedelta(days=30))
    return (yield context.call_activity(charge, input=order["cents"]))


durabletask_bill = DurableTaskWorkflow(bill, activities=[charge])


class BillTest(AsyncWorkflowTestCase):
    async def assert_bills(self, workflow):
        result = await self.execute_workflow(workflow, {"cents": 500})
        self.assert_workflow_success(result)
        self.assert_node_output(result, "charge", 500, "receipt.cents")
        assert result.returned == {"receipt": {"cents": 500}}

    async def test_inngest(self):
        await self.assert_bills(inngest_bill)

    async def test_aws(self):
        await self.assert_bills(aws_bill)

    async def test_durable_task(self):
        await self.assert_bills(durabletask_bill)

    async def test_an_error_is_that_of_the_step(self):
        result = await self.execute_workflow(durabletask_bill, {"cents": -1})
        self.assert_workflow_failed(result)
        assert result.error == "'charge' failed: ValueError: nobody is charged -1"
