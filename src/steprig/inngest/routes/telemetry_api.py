"""What SDKs and their extensions report, which nothing here reads: telemetry and traces."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def telemetry_routes() -> list[Route]:
    """The routes that take reports in, and let go of them."""
    return [Route(path, accept, methods=["POST"]) for path in ("/v0/telemetry", "/v1/traces/userland", "/dev/traces")]


async def accept(request: Request) -> Response:
    """Take anything."""
    await request.body()
    return Response(status_code=200)
