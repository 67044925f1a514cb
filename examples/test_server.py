import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


@pytest.fixture(scope="session")
def asgi_app():
    return Starlette(routes=[Route("/health", lambda request: JSONResponse({"message": "OK"}))])


def test_the_app_is_healthy(running_server):
    assert httpx.get(running_server.url("/health")).json() == {"message": "OK"}
