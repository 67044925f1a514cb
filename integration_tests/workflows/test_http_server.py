"""The HTTP server fixture, on a real port."""

import asyncio
import socket

import httpx
import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

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


def test_a_server_answers_by_bytes_and_endpoints_too_and_knows_what_it_has_refused():
    async def echo(request):
        return PlainTextResponse(await request.body(), 202)

    def refuse(request):
        raise HTTPException(409, f"{request.method} is too late")

    def plain(request):
        return PlainTextResponse("from a thread")

    class Elsewhere(HTTPEndpoint):
        async def get(self, request):
            return PlainTextResponse("from a class")

    async def main():
        server = await AsyncWorkflowFixtures.create_test_http_server(
            {
                "GET /raw": (b"\x00\xff", 203),
                "GET /null": None,
                "POST /echo": echo,
                "PUT /refused": refuse,
                "GET /class": Elsewhere,
                "GET /plain": plain,
            }
        )
        async with httpx.AsyncClient(base_url=server.url) as client:
            answers = [
                await client.get("/raw"),
                await client.get("/null"),
                await client.post("/echo", content="hello"),
                await client.put("/refused", content="please"),
                await client.get("/class"),
                await client.get("/plain"),
                await client.post("/nowhere", content="lost"),
                await client.delete("/raw"),
            ]
        await server.cleanup()
        assert [(answer.status_code, answer.content) for answer in answers] == [
            (203, b"\x00\xff"),
            (200, b"null"),
            (202, b"hello"),
            (409, b"PUT is too late"),
            (200, b"from a class"),
            (200, b"from a thread"),
            (404, b"Not Found"),
            (405, b"Method Not Allowed"),
        ]
        assert "GET" in answers[-1].headers["Allow"]
        assert [(call.method, call.url, call.kwargs["body"]) for call in server.get_calls()] == [
            ("GET", "/raw", b""),
            ("GET", "/null", b""),
            ("POST", "/echo", b"hello"),
            ("PUT", "/refused", b"please"),
            ("GET", "/plain", b""),
            ("POST", "/nowhere", b"lost"),
            ("DELETE", "/raw", b""),
        ]

    asyncio.run(main())


@pytest.mark.parametrize("answer", [("a", 200, {"x": "y"}), ("a", "200"), (("a", 1), 200)])
def test_an_answer_is_a_body_or_a_body_and_a_status(answer):
    with pytest.raises(TypeError, match=r"the answer of 'GET /health' is a body, or a pair of body and status"):
        asyncio.run(AsyncWorkflowFixtures.create_test_http_server({"GET /health": answer}))
