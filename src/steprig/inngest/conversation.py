"""One conversation with a dev server: questions in GraphQL, and pauses between them, until a deadline."""

import ssl
import time
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import httpx

from steprig.inngest.waiting_errors import DevServerUnreachableError, WaitTimeoutError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.2
"""Seconds between questions to a server that cannot tell of changes, as the Inngest SDK's own kit has them."""

_SHORTEST_TRY = 0.25
"""Seconds that a question gets at least, so that the last look comes even when the time is all but up."""

_ANSWER_MARGIN = 2.0
"""Seconds past the end of a wait by which a server that tells of changes has said that there was none."""

WAIT_HEADER = "x-steprig"
"""A server that sends it answers on `/steprig/...`, where a client waits without polling."""


class Conversation:
    """Asks, waits, and asks again. One for each method of a client: so no loop and no thread owns a client.

    Args:
        origin: The server's URL.
        expected: What is waited for, for messages.
        timeout: Seconds until the deadline.
        hint: What to try when it passes.
    """

    def __init__(self, origin: str, expected: str, timeout: float, hint: str) -> None:
        self.origin = origin
        self.last_seen = "nothing yet"
        self._expected = expected
        self._timeout = timeout
        self._hint = hint
        self._deadline = time.monotonic() + timeout
        self._pause = _FIRST_PAUSE
        self._http = _http_client(origin)
        self.tells_of_changes = False

    async def ask(self, query: str, **variables: str) -> dict[str, Any] | None:
        """Put a question in GraphQL.

        Returns:
            The answer's data; None where the server answers with errors, which it does as long as a run is unknown.

        Raises:
            DevServerUnreachableError: Nothing answers, or no dev server does, or it does not know such questions.
            WaitTimeoutError: The deadline passed meanwhile.
        """
        try:
            response = await self._http.post(
                f"{self.origin}/v0/gql",
                json={"query": query, "variables": variables},
                timeout=max(self._seconds_left, _SHORTEST_TRY),
            )
        except httpx.TimeoutException:
            self.last_seen = f"no answer to a question (before: {self.last_seen})"
            raise self.timed_out() from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from error
        self.tells_of_changes = WAIT_HEADER in response.headers
        return self._data(response)

    async def change(self, path: str, **parameters: str | int) -> None:
        """Wait until asking again makes sense: until the server tells of a change, or for a moment.

        Args:
            path: Where a server that tells of changes does so.
            **parameters: Which change, for its query string.

        Raises:
            WaitTimeoutError: The deadline has passed.
            DevServerUnreachableError: The server went away.
        """
        if self._seconds_left <= 0:
            raise self.timed_out()
        if self.tells_of_changes:
            await self._await_change(path, parameters)
            return
        await anyio.sleep(min(self._pause, self._seconds_left))
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)

    def timed_out(self) -> WaitTimeoutError:
        """The error for a deadline that has passed."""
        return WaitTimeoutError(
            f"expected {self._expected} within {self._timeout:g} s; last seen: {self.last_seen}. {self._hint}"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    async def _await_change(self, path: str, parameters: dict[str, str | int]) -> None:
        seconds = self._seconds_left
        try:
            response = await self._http.get(
                f"{self.origin}{path}",
                params={**parameters, "timeout": f"{seconds:.3f}"},
                timeout=seconds + _ANSWER_MARGIN,
            )
        except httpx.TimeoutException:
            return  # too busy to say that there was no change; one more question, then the time is up
        except httpx.HTTPError as error:
            raise self._unreachable(f"it went away while {self._expected} was awaited ({error!r})") from error
        if response.is_error:
            raise self._unreachable(f"{path} answered {response.status_code}: {response.text[:300]}")

    def _data(self, response: httpx.Response) -> dict[str, Any] | None:
        try:
            answer = response.json()
            errors, data = answer.get("errors"), answer.get("data")
        except (ValueError, AttributeError):
            raise self._unreachable(f"status {response.status_code}, and no JSON: {response.text[:200]!r}") from None
        if errors and response.is_success:
            self.last_seen = f"the server's answer: {errors[0].get('message')}"
            return None
        if not isinstance(data, dict):
            raise self._unreachable(f"status {response.status_code}: {errors or answer}")
        return data

    def _unreachable(self, seen: str) -> DevServerUnreachableError:
        return DevServerUnreachableError(
            f"no Inngest dev server answers at {self.origin}: {seen}; check that it is started, "
            "and that the origin is the server's own (`server.origin`)"
        )


def _http_client(origin: str) -> httpx.AsyncClient:
    parts = urlsplit(origin)
    # To load the system's certificates takes longer than a whole conversation on this machine.
    context = None if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A proxy that the environment names for the internet has no way to this machine's own servers.
    return httpx.AsyncClient(verify=context or True, trust_env=not _is_local(parts.hostname or ""))


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
