"""An HTTP client that answers from what it was told, and knows its calls."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPMethod
from types import TracebackType
from typing import Any, Self

from steprig.workflows.errors import count
from steprig.workflows.pending import enterable


@dataclass(frozen=True)
class HttpCall:
    """One request."""

    method: str
    url: str
    kwargs: dict[str, Any]


class HttpStatusError(Exception):
    """A response whose status is an error."""


@dataclass(frozen=True)
class MockResponse:
    """A response."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_code(self) -> int:
        """`status`, as httpx and requests call it."""
        return self.status

    async def json(self) -> Any:
        """The body; a string is read as JSON."""
        return json.loads(self.body) if isinstance(self.body, str | bytes) else self.body

    async def text(self) -> str:
        """The body if it is a string, else it as JSON."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)

    def raise_for_status(self) -> None:
        """Raise when the status is 400 or more."""
        if self.status >= 400:
            raise HttpStatusError(f"HTTP {self.status}: {self.body!r}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


Answers = list[MockResponse | BaseException]


class MockHttpClient:
    """Stands in for an async HTTP client such as aiohttp's. For code that makes its own httpx client use respx."""

    _untracked_methods = (
        "add_response",
        "add_responses",
        "add_sequence",
        "add_error",
        "set_default_response",
        "assert_called",
        "reset",
    )

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Answers] = {}
        self._default: MockResponse = MockResponse({"error": "Not found"}, 404)
        self._calls: list[HttpCall] = []

    def add_response(
        self, method: str, url: str, response: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Say what a request gets, each time.

        Args:
            method: GET, POST, ...
            url: Exactly as the code under test gives it.
            response: The body: text, or anything that JSON can say.
            status: The status.
            headers: The headers.
        """
        self._answers[_key(method, url)] = [MockResponse(response, status, dict(headers or {}))]

    def add_responses(self, responses: Mapping[str, Any]) -> None:
        """`add_response` for many: `{"POST:/users": body, "/items": body}`, where GET goes without saying."""
        for key, body in responses.items():
            method, colon, url = key.partition(":")
            if colon and method.upper() in HTTPMethod.__members__:
                self.add_response(method, url, body)
            else:
                self.add_response("GET", key, body)

    def add_sequence(self, method: str, url: str, *responses: Any) -> None:
        """Say what one request after the other gets; the last one holds for all that follow.

        Args:
            method: GET, POST, ...
            url: As for `add_response`.
            *responses: Each a body, a pair of body and status, or an exception to raise.
        """
        if not responses:
            raise ValueError(f"a sequence for {method} {url} needs at least one response")
        self._answers[_key(method, url)] = [_answer(each) for each in responses]

    def add_error(self, method: str, url: str, error: BaseException) -> None:
        """Have a request raise, as when nobody listens."""
        self._answers[_key(method, url)] = [error]

    def set_default_response(self, response: Any, status: int = 200) -> None:
        """Say what any other request gets; without this, 404."""
        self._default = MockResponse(response, status)

    @enterable
    async def request(self, method: str, url: str, **kwargs: Any) -> MockResponse:
        """Make a request, by `await` or by `async with`."""
        self._calls.append(HttpCall(method.upper(), url, kwargs))
        answers = self._answers.get(_key(method, url), [self._default])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @enterable
    async def get(self, url: str, **kwargs: Any) -> MockResponse:
        """GET."""
        return await self.request("GET", url, **kwargs)

    @enterable
    async def post(self, url: str, **kwargs: Any) -> MockResponse:
        """POST."""
        return await self.request("POST", url, **kwargs)

    @enterable
    async def put(self, url: str, **kwargs: Any) -> MockResponse:
        """PUT."""
        return await self.request("PUT", url, **kwargs)

    @enterable
    async def patch(self, url: str, **kwargs: Any) -> MockResponse:
        """PATCH."""
        return await self.request("PATCH", url, **kwargs)

    @enterable
    async def delete(self, url: str, **kwargs: Any) -> MockResponse:
        """DELETE."""
        return await self.request("DELETE", url, **kwargs)

    @enterable
    async def head(self, url: str, **kwargs: Any) -> MockResponse:
        """HEAD."""
        return await self.request("HEAD", url, **kwargs)

    def get_calls(self, method: str | None = None, url: str | None = None) -> list[HttpCall]:
        """The requests of a method and a URL, or of any, oldest first."""
        return [
            each
            for each in self._calls
            if (method is None or each.method == method.upper()) and (url is None or each.url == url)
        ]

    def assert_called(self, method: str, url: str, times: int | None = None) -> None:
        """Fail unless there was such a request, or so many; shows those there were."""
        found = len(self.get_calls(method, url))
        if found == times or (times is None and found):
            return
        wanted = "at least 1 request" if times is None else count(times, "request")
        made = "".join(f"\n  {each.method} {each.url} {each.kwargs or ''}".rstrip() for each in self._calls)
        raise AssertionError(f"{method.upper()} {url}: expected {wanted}, found {found}. Requests:{made or ' none'}")

    def reset(self) -> None:
        """Forget the requests."""
        self._calls.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _key(method: str, url: str) -> tuple[str, str]:
    return method.upper(), url


def _answer(response: Any) -> MockResponse | BaseException:
    if isinstance(response, BaseException | MockResponse):
        return response
    if isinstance(response, tuple) and len(response) == 2 and isinstance(response[1], int):
        return MockResponse(*response)
    return MockResponse(response)
