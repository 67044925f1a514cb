"""How the environment asks for a dev server. Every variable is described in `.env.example`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from steprig.errors import SteprigError
from steprig.inngest.signing import MalformedSignatureError, hash_signing_key

DEFAULT_PORT: Final = 8288
LOG_FILE: Final = Path("artifacts", "dev_server.log")

_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}

Backend = Literal["embedded", "cli", "running"]
"""Who runs the server: this process, a child process, or somebody else."""


class SettingsError(SteprigError, ValueError):
    """A variable of the environment has a value that makes no sense. The message names it and says what would."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the environment says about the dev server."""

    enabled: bool = True
    """`DEV_SERVER_ENABLED`. When false, nothing is started or looked at."""
    backend: Backend = "embedded"
    """`STEPRIG_INNGEST`."""
    port: int = DEFAULT_PORT
    """`DEV_SERVER_PORT`; 0 for a free one."""
    url: str | None = None
    """Where the server is that somebody else runs."""
    log_file: Path | None = None
    """`DEV_SERVER_LOGS`."""
    version: str = "latest"
    """`DEV_SERVER_VERSION`, of `inngest-cli`."""
    event_key: str | None = None
    """`INNGEST_EVENT_KEY`."""
    signing_key: str | None = None
    """`INNGEST_SIGNING_KEY`."""
    signing_key_fallback: str | None = None
    """`INNGEST_SIGNING_KEY_FALLBACK`."""
    crons: bool = False
    """`ENABLE_CRONS`."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment. A variable that is empty counts as one that is not set.

        Args:
            environ: By default that of the process.

        Raises:
            SettingsError: A value makes no sense, or two contradict each other.
        """
        found = os.environ if environ is None else environ
        values = {name: value.strip() for name, value in found.items() if value.strip()}
        backend, url = _backend(values)
        return cls(
            enabled=_flag(values, "DEV_SERVER_ENABLED", default=True),
            backend=backend,
            port=_port(values, backend),
            url=url,
            log_file=LOG_FILE if _flag(values, "DEV_SERVER_LOGS", default=False) else None,
            version=values.get("DEV_SERVER_VERSION", "latest"),
            event_key=values.get("INNGEST_EVENT_KEY"),
            signing_key=_signing_key(values, "INNGEST_SIGNING_KEY"),
            signing_key_fallback=_signing_key(values, "INNGEST_SIGNING_KEY_FALLBACK"),
            crons=_flag(values, "ENABLE_CRONS", default=False),
        )

    @property
    def origin(self) -> str | None:
        """Where the server is, or will be; None as long as a free port has not been found."""
        if self.url is not None:
            return self.url
        return f"http://127.0.0.1:{self.port}" if self.port else None


def _backend(values: Mapping[str, str]) -> tuple[Backend, str | None]:
    """Who runs the server, and where it is if somebody else does."""
    asked = values.get("STEPRIG_INNGEST")
    match asked:
        case "embedded" | "cli":
            return ("cli" if asked == "cli" else "embedded"), None
        case None:
            base_url = _url(values, "INNGEST_BASE_URL")
            elsewhere = base_url is not None and not _is_here(base_url)
            return ("running", base_url) if elsewhere else ("embedded", None)
        case _ if "://" in asked:
            return "running", _url(values, "STEPRIG_INNGEST")
        case _:
            raise _bad("STEPRIG_INNGEST", asked, "embedded, cli, or a URL such as http://127.0.0.1:8288")


def _port(values: Mapping[str, str], backend: Backend) -> int:
    """Where to listen. SDKs go where `INNGEST_BASE_URL` leads, so if that is on this machine, it is there."""
    asked = _port_asked(values)
    base_url = None if backend == "running" else _url(values, "INNGEST_BASE_URL")
    if base_url is None or not _is_here(base_url):
        return DEFAULT_PORT if asked is None else asked
    port = _split("INNGEST_BASE_URL", base_url).port or 80
    if asked is not None and asked != port:
        raise SettingsError(
            f"DEV_SERVER_PORT={asked} contradicts INNGEST_BASE_URL={base_url}: SDKs would go to port {port}; "
            "give both the same port, or only one of them"
        )
    return port


def _port_asked(values: Mapping[str, str]) -> int | None:
    text = values.get("DEV_SERVER_PORT")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise _bad("DEV_SERVER_PORT", text, "a port from 1 to 65535, or 0 for a free one")
    return int(text)


def _signing_key(values: Mapping[str, str], name: str) -> str | None:
    key = values.get(name)
    if key is not None:
        try:
            hash_signing_key(key)
        except MalformedSignatureError as error:
            # The one value that no message shows.
            raise SettingsError(f"{name} in the environment is of no use: {error}") from None
    return key


def _flag(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name)
    if text is None:
        return default
    if text.lower() not in _YES | _NO:
        raise _bad(name, text, "1 or 0")
    return text.lower() in _YES


def _url(values: Mapping[str, str], name: str) -> str | None:
    text = values.get(name)
    if text is None:
        return None
    parts = _split(name, text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad(name, text, "a URL such as http://127.0.0.1:8288")
    return text.rstrip("/")


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _bad(name, url, "a URL such as http://127.0.0.1:8288") from None
    return parts


def _is_here(url: str) -> bool:
    """Whether a server that is started here can be meant: plain HTTP on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    if parts.hostname == "localhost":
        return True
    try:
        address = ip_address(parts.hostname or "")
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _bad(name: str, value: str, expected: str) -> SettingsError:
    return SettingsError(f"{name}={value!r} in the environment; expected {expected}")
