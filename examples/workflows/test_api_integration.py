"""A workflow that calls HTTP services: recorded calls, a retry, and a real server."""

import httpx
from kailash.workflow.async_builder import AsyncWorkflowBuilder

from steprig.workflows import AsyncWorkflowFixtures, AsyncWorkflowTestCase

checkout = (
    AsyncWorkflowBuilder("checkout")
    .add_async_code(
        "user",
        """
users = await get_resource("users")
response = await users.get(f"/users/{user_id}")
response.raise_for_status()
result = await response.json()
""",
    )
    .add_async_code(
        "charge",
        """
payments = await get_resource("payments")
response = await payments.post("/charges", json={"customer": customer, "amount": round(price * 100)})
result = {"status": response.status, "charge": (await response.json())["id"]}
""",
    )
    .add_connection("user", "customer_id", "charge", "customer")
    .build()
)


class CheckoutTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.users = await self.create_test_resource("users", AsyncWorkflowFixtures.create_mock_http_client, mock=True)
        self.payments = await self.create_test_resource(
            "payments", AsyncWorkflowFixtures.create_mock_http_client, mock=True
        )
        self.set_up_responses()

    def set_up_responses(self):
        self.users.add_response("GET", "/users/7", {"customer_id": "cus_7"})
        self.payments.add_response("POST", "/charges", {"id": "ch_1"}, status=201)

    async def test_the_amount_is_charged_in_cents(self):
        result = await self.execute_workflow(checkout, {"user_id": 7, "price": 12.34})

        self.assert_workflow_success(result)
        self.assert_node_output(result, "charge", {"status": 201, "charge": "ch_1"})
        (call,) = self.payments.get_calls("POST", "/charges")
        assert call.kwargs["json"] == {"customer": "cus_7", "amount": 1234}
        self.assert_resource_called("users", "get", times=1, with_args=("/users/7",))

    async def test_an_unknown_user_is_not_charged(self):
        result = await self.execute_workflow(checkout, {"user_id": 8, "price": 12.34})

        self.assert_workflow_failed(result)
        assert "HTTP 404" in result.error
        self.assert_resource_called("payments", "post", times=0)


class RealServerTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.server = await self.create_test_resource(
            "server", lambda: AsyncWorkflowFixtures.create_test_http_server({"GET /rates": {"EUR": 1.1}})
        )
        await self.create_test_resource("http", lambda: httpx.AsyncClient(base_url=self.server.url))

    async def test_rates_come_over_a_real_connection(self):
        async def convert(amount, get_resource):
            client = await get_resource("http")
            rates = (await client.get("/rates")).json()
            return round(amount * rates["EUR"], 2)

        result = await self.execute_workflow(convert, {"amount": 10})

        self.assert_node_output(result, "convert", 11.0)
        assert len(self.server.get_calls("GET", "/rates")) == 1
