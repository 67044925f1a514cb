"""The shapes in which the service answers."""

from typing import Any
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from steprig.aws.errors import ServiceError, ServiceException

_encode = msgspec.json.Encoder().encode


class Json(Response):
    """A JSON body."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """See `starlette.responses.Response`."""
        return _encode(content)


def refusal(error: ServiceError) -> Response:
    """An error as clients know it: its code in a header and its text under the key that the service model has."""
    fault = "User" if error.status < 500 else "Service"
    headers = {"x-amzn-ErrorType": error.code}
    return Json({"Type": fault, error.message_key: str(error)}, error.status, headers)


async def refused(request: Request, error: Exception) -> Response:
    """Answers what a route has refused."""
    del request
    assert isinstance(error, ServiceError), "it is registered for those alone"
    return refusal(error)


async def failed(request: Request, error: Exception) -> Response:
    """Answers for a fault of steprig itself."""
    what = f"a fault in steprig at {request.method} {request.url.path}: {error!r}; please report it"
    answer = refusal(ServiceException(what))
    answer.headers["x-amzn-RequestId"] = str(uuid4())  # nothing wraps this answer
    return answer
