"""Asking apps to register: at start, on demand, and when they may have changed (Inngest SDK spec 4.3)."""

import asyncio
import json
import re
import time
from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime

import aiohttp

from steprig.errors import SteprigError
from steprig.inngest.engine import Engine
from steprig.inngest.options import Options
from steprig.inngest.registration import RegistrationError, app_in
from steprig.inngest.signing import SignatureError, sign_request, validate_response_sig

_TIMEOUT = 10.0
_RETRY_EVERY = 5.0
_DISCOVERY_EVERY = 5.0
_DISCOVERY_PORTS = (80, 3000, 3001, 3030, 4321, 5000, 5001, 5173, 8000, 8080, 8081, 8787, 8888, 9000)
_DISCOVERY_PATHS = ("/api/inngest", "/x/inngest", "/.netlify/functions/inngest", "/.redwood/functions/inngest")

_THIS_MACHINE = re.compile(r"^(\w+://)(127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?=[:/]|$)")

_CODES = {400: "", 401: "unauthorized", 403: "forbidden", 404: "url_not_found", 500: "internal_server_error"}


class SyncError(SteprigError):
    """An app did not register. The text begins with the dev server's code for it."""

    def __init__(self, url: str, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: the app at {url} did not register{detail and f': {detail}'}")
        self.code = code


class Syncer:
    """Asks apps to register with the engine.

    Args:
        engine: Gets what apps answer in-band; out-of-band answers come to `/fn/register`.
        options: Which apps, how often, and with which key.
    """

    def __init__(self, engine: Engine, options: Options) -> None:
        self._engine = engine
        self._options = options
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT))
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: dict[str, str] = {}
        self._discovered: set[str] = set()
        for url in options.sdk_urls:
            self._keep(self._follow(url))
        if options.poll_interval is not None:
            self._keep(self._poll(options.poll_interval))
        if options.discovery:
            self._keep(self._discover())

    async def sync(self, url: str) -> None:
        """Have the app at `url` register, once.

        Raises:
            SyncError: It did not; the error says what it answered.
        """
        try:
            async with self._session.put(
                url, data=_body(url), headers=self._headers(_body(url)), allow_redirects=True
            ) as response:
                self._take(url, response.status, response.headers, await response.read())
        except aiohttp.ClientSSLError as error:
            raise SyncError(url, "unsupported_protocol", str(error)) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise SyncError(url, "unsupported_protocol", "the URL must begin with http:// or https://") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise SyncError(url, "unreachable", str(error)) from error

    def error_of(self, url: str) -> str | None:
        """The dev server's code for why the app at `url` did not register when it was last asked; None if it did."""
        return self._errors.get(place(url))

    def has_discovered(self, url: str) -> bool:
        """Whether the app at `url` was found without being told of."""
        return place(url) in self._discovered

    async def stop(self) -> None:
        """End what goes on by itself."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, url: str) -> None:
        """Sync until it works. From then on the app is one of those that are polled."""
        while True:
            if await self._try_to_sync(url):
                return
            await asyncio.sleep(_RETRY_EVERY)

    async def _poll(self, interval: float) -> None:
        """Ask every app for changed functions, again and again: also those that have registered by themselves."""
        while True:
            await asyncio.sleep(interval)
            urls = {app.url for app in self._engine.apps if app.method == "SERVE"}
            await asyncio.gather(*map(self._try_to_sync, urls))

    async def _try_to_sync(self, url: str) -> bool:
        """Sync once, and keep what is wrong for readers."""
        try:
            await self.sync(url)
        except SyncError as error:
            self._errors[place(url)] = error.code
            return False
        self._errors.pop(place(url), None)
        return True

    async def _discover(self) -> None:
        """Look on this machine's usual ports for apps that have not registered."""
        while True:
            known = {place(app.url) for app in self._engine.apps}
            for url in _candidates():
                if place(url) not in known and await self._serves_sdk(url) and await self._try_to_sync(url):
                    self._discovered.add(place(url))
            await asyncio.sleep(_DISCOVERY_EVERY)

    async def _serves_sdk(self, url: str) -> bool:
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
                return "x-inngest-sdk" in response.headers
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "X-Inngest-Server-Kind": self._options.kind}
        if self._options.signing_key is not None:
            headers["X-Inngest-Signature"] = sign_request(body, self._options.signing_key, int(time.time()))
            if self._options.kind == "cloud":
                headers["X-Inngest-Sync-Kind"] = "in_band"
        return headers

    def _take(self, url: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if status != 200:
            message = _message(body)
            raise SyncError(url, _CODES.get(status) or message or f"status {status}", message)
        if "x-inngest-sdk" not in headers:
            raise SyncError(url, "no_sdk", "what answers there with status 200 is no Inngest SDK; check the path")
        if headers.get("x-inngest-sync-kind") != "in_band":
            if (message := _message(body)) and not _says_ok(body):
                raise SyncError(url, "registration_failed", message)
            return
        try:
            if self._options.signing_key is not None:
                validate_response_sig(headers, body, self._options.signing_key, now=datetime.now(UTC))
            self._engine.sync(app_in(body))
        except (RegistrationError, SignatureError) as error:
            raise SyncError(url, "registration_failed", str(error)) from error


def place(url: str) -> str:
    """What a URL leads to, by whatever name of this machine."""
    return _THIS_MACHINE.sub(r"\1localhost", url).rstrip("/")


def _body(url: str) -> bytes:
    return json.dumps({"url": url}, separators=(",", ":")).encode()


def _candidates() -> Iterable[str]:
    return (f"http://127.0.0.1:{port}{path}" for port in _DISCOVERY_PORTS for path in _DISCOVERY_PATHS)


def _answer(body: bytes) -> dict[str, object]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _message(body: bytes) -> str:
    answer = _answer(body)
    return str(answer.get("message") or answer.get("error") or "")


def _says_ok(body: bytes) -> bool:
    return bool(_answer(body).get("ok", "error" not in _answer(body)))
