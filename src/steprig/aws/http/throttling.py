"""Refusals of what has to come again later."""

from starlette.requests import Request
from starlette.responses import Response

from steprig.aws.errors import TooManyRequestsException
from steprig.aws.http.answers import Json

_RETRY_AFTER = "1"
"""Seconds."""


class ConcurrencyExceededError(TooManyRequestsException):
    """As many invocations of a function run as its reserved concurrency allows.

    Attributes:
        reason: What the answer gives as such.
    """

    code = TooManyRequestsException.__name__
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"

    def __init__(self) -> None:
        super().__init__("Rate Exceeded.")


async def throttled(request: Request, error: Exception) -> Response:
    """Answers with it."""
    del request
    assert isinstance(error, ConcurrencyExceededError), "it is registered for those alone"
    body = {"Type": "User", "message": str(error), "Reason": error.reason}
    return Json(body, error.status, {"x-amzn-ErrorType": error.code, "Retry-After": _RETRY_AFTER})
