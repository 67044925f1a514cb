"""How functions are called over HTTP."""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from steprig.errors import SteprigError
from steprig.inngest.call_request import CallRequest
from steprig.inngest.limits import CALL_TIMEOUT, MAX_REPLY_BYTES
from steprig.inngest.opcodes import StepId
from steprig.inngest.redirects import MAX_REDIRECTS, Hop, next_hop
from steprig.inngest.replies import NoReply, Reply

_KEEP_ALIVE = 1.0
"""Seconds for which an idle connection is used again: less than any server keeps one open."""

_CHUNK = 1 << 16
_LARGE = 1 << 20


class NobodyReadyError(SteprigError):
    """Nobody is there to take a call now. That is no failure of the call, which is to be made anew later.

    Args:
        when_ready: Calls its argument once somebody is there, maybe at once.
    """

    def __init__(self, when_ready: Callable[[Callable[[], object]], None]) -> None:
        super().__init__("no worker is connected that has room for the call; start one, or wait for it")
        self.when_ready = when_ready


class Transport(Protocol):
    """Carries a call to an SDK and its answer back."""

    async def call(self, url: str, step: StepId, request: CallRequest) -> Reply | NoReply:
        """Call a function. Every failure is an answer, too.

        Raises:
            NobodyReadyError: There is nobody to call yet.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class HttpTransport:
    """Calls functions that an SDK serves over HTTP.

    Args:
        sign: Gives the signature header for a body, where calls have to be signed.
    """

    def __init__(self, sign: Callable[[bytes], str] | None = None) -> None:
        self._sign = sign
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept",),
        )

    async def call(self, url: str, step: StepId, request: CallRequest) -> Reply | NoReply:
        """See `Transport.call`."""
        headers = dict(request.headers)
        if self._sign is not None:
            headers["X-Inngest-Signature"] = self._sign(request.body)
        try:
            async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
                return await self._answer(_first_hop(url, step, request.endpoint_method), request.body, headers)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return NoReply("Unable to reach SDK URL")

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._session.close()

    async def _answer(self, first: Hop, body: bytes, headers: Mapping[str, str]) -> Reply | NoReply:
        """The answer to a call, wherever redirects lead it."""
        hop = first
        for _ in range(1 + MAX_REDIRECTS):
            async with self._session.request(
                hop.method, hop.url, data=_payload(body) or None, headers=headers, allow_redirects=False
            ) as response:
                following = next_hop(hop, first.url, response.status, response.headers.get("Location"))
                if following is None:
                    return await _reply(response)
                hop = following
        return NoReply(f'error performing request: Post "{hop.url}": stopped after {MAX_REDIRECTS} redirects')


@lru_cache(4096)
def targeted(url: str, step: StepId) -> URL:
    """The URL of a function with the step to run in it. Function ids may hold any character."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "stepId"]
    return URL(urlunsplit(parts._replace(query=urlencode([*query, ("stepId", step)]))), encoded=True)


def _first_hop(url: str, step: StepId, endpoint_method: str | None) -> Hop:
    if endpoint_method is not None:
        return Hop(endpoint_method, URL(url, encoded=True))
    return Hop("POST", targeted(url, step))


def _payload(body: bytes) -> bytes | BytesIO:
    # aiohttp warns of large bytes, and where warnings are errors that would be the end of the call.
    return body if len(body) < _LARGE else BytesIO(body)


async def _reply(response: aiohttp.ClientResponse) -> Reply | NoReply:
    body = await _read(response)
    if body is None:
        return NoReply("Your function's response body exceeds the maximum size limit", name="output_too_large")
    headers = response.headers
    return Reply(
        status=response.status,
        body=body,
        is_sdk="x-inngest-sdk" in headers,
        no_retry=headers.get("x-inngest-no-retry", "").lower() == "true",
        retry_after=headers.get("retry-after"),
        version=_version(headers),
        content_type=headers.get("content-type", ""),
        headers=tuple(headers.items()),
    )


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None as soon as it is larger than an answer may be."""
    if (response.content_length or 0) > MAX_REPLY_BYTES:
        return None
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            return None
    return bytes(body)


def _version(headers: Mapping[str, str]) -> int:
    try:
        return int(headers.get("x-inngest-req-version", ""))
    except ValueError:
        return 1
