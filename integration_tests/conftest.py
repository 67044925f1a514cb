"""The application that most of these tests serve."""

import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def health(request: Request) -> Response:
    return JSONResponse({"message": "OK"})


async def get_test(request: Request) -> Response:
    return JSONResponse({"message": "test", "query": dict(request.query_params)})


async def post_data(request: Request) -> Response:
    try:
        data = json.loads(await request.body())
    except ValueError as error:
        return JSONResponse({"error": f"the body has to be JSON: {error}"}, status_code=400)
    return JSONResponse({"received": data})


@pytest.fixture(scope="session")
def asgi_app() -> Starlette:
    """`GET /health`, `GET /test`, and `POST /api/data`, which sends JSON back."""
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/test", get_test),
            Route("/api/data", post_data, methods=["POST"]),
        ]
    )
