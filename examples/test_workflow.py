from datetime import timedelta

import inngest

from steprig.workflows import AsyncWorkflowTestCase

client = inngest.Inngest(app_id="shop", is_production=False)
mailer = None  # the application sets it


@client.create_function(fn_id="remind", trigger=inngest.TriggerEvent(event="shop/cart.left"))
async def remind(ctx: inngest.Context) -> str:
    await ctx.step.sleep("a month", timedelta(days=30))
    return await ctx.step.run("mail", mailer.send, ctx.event.data["to"])


class RemindTest(AsyncWorkflowTestCase):
    async def test_who_leaves_a_cart_is_reminded(self):
        global mailer
        mailer = await self.create_test_resource("mailer", None, mock=True)
        mailer.send.return_value = "sent"

        result = await self.execute_workflow(remind, {"to": "ann"})

        self.assert_workflow_success(result)
        self.assert_node_output(result, "mail", "sent")
        self.assert_resource_called("mailer", "send", times=1, with_args=("ann",))
