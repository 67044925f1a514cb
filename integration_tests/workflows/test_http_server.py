"""The HTTP server fixture, on a real port."""

import asyncio
import socket

import httpx
import pytest

from steprig.workflows import AsyncWorkflowFixtures


def test_a_server_answers_as_told_knows_its_calls_and_closes_its_port():
    async def main():
        server = await AsyncWorkflowFixtures.create_test_http_server(
            {"GET /health": {"ok": True}, "POST /charges": ({"id": 1}, 201), "GET /users/{id}": "Ada"}
        )
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/health")).json() == {"ok": True}
            answer = await client.post("/charges", json={"amount": 5})
            assert (answer.status_code, answer.json()) == (201, {"id": 1})
            assert (await client.get("/users/7?x=1")).text == "Ada"
            assert (await client.get("/nowhere")).status_code == 404
        (charge,) = server.get_calls("POST", "/charges")
        assert charge.kwargs["body"] == b'{"amount":5}'
        assert server.get_calls("GET", "/users/7")[0].kwargs["params"] == {"x": "1"}
        port = server.port
        await server.cleanup()
        await server.cleanup()
        assert not server.is_running
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)

    asyncio.run(main())


def test_a_route_needs_a_method():
    with pytest.raises(ValueError, match="a method and a path"):
        asyncio.run(AsyncWorkflowFixtures.create_test_http_server({"/health": {}}))
