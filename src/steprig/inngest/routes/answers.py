"""The shapes in which the dev server answers."""

from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

_ENCODER = msgspec.json.Encoder()


class Json(Response):
    """A JSON body, plain and with its length: naive proxies copy headers as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """See `starlette.responses.Response`."""
        return _ENCODER.encode(content)


def failure(status: int, message: str) -> Json:
    """The error body of `/fn`, `/v0` and `/v1`."""
    return Json({"error": message, "data": None, "status": status}, status)


def success(data: object, now: datetime) -> Json:
    """The success body of `/v1`."""
    return Json({"data": data, "metadata": {"fetched_at": now}})
