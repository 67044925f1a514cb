from datetime import timedelta

import fastapi
import inngest
import inngest.fast_api
import pytest


@pytest.fixture(scope="session")
def asgi_app(dev_server):
    app, client = fastapi.FastAPI(), inngest.Inngest(app_id="shop", is_production=False)

    @client.create_function(fn_id="remind", trigger=inngest.TriggerEvent(event="cart/left"))
    async def remind(ctx: inngest.Context) -> str:
        await ctx.step.sleep("a month", timedelta(days=30))
        return await ctx.step.run("mail", lambda: "come back!")

    app.state.client = client
    inngest.fast_api.serve(app, client, [remind])
    return app


def test_a_reminder_is_sent_after_a_month(asgi_app, inngest_app, dev_server_client):
    (event_id,) = asgi_app.state.client.send_sync(inngest.Event(name="cart/left"))
    (run_id,) = dev_server_client.sync.get_run_ids_from_event_id(event_id)
    assert dev_server_client.sync.wait_for_run_status(run_id, "COMPLETED").result == "come back!"
