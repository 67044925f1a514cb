"""The Node app of `js/`: its packages are installed once for every run on this machine, outside of the repository."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from steprig.inngest.dev_server import DevServer
from steprig.kernel import VirtualClock
from steprig.live import ProcessServer

from ..waiting import until
from .stacks import STACKS
from .stage import Stage

SOURCES = Path(__file__).parent / "js"
_PORT = re.compile(r"serving on port (\d+)")
_NO_NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|took longer"
)
_INSTALL_TIMEOUT = 240
_OLDEST_NODE = 20
_NODE_WITH_SOCKETS = 22
"""From this version on Node has WebSockets without being asked for them."""

_KEY = "signkey-test-12345678"


class Variant(NamedTuple):
    """Which SDK the app is on, and how it serves."""

    name: str
    sdk: str = "inngest"
    mode: str = "serve"
    checkpointing: bool = False
    streaming: bool = False
    cloud: bool = False
    """In production mode, where calls and answers are signed."""

    @property
    def version(self) -> str:
        """What the SDK says of itself."""
        return "3.54.2" if self.is_old else "4.24.0"

    @property
    def is_old(self) -> bool:
        """Whether it is the version 3 of the SDK."""
        return self.sdk == "inngest3"


VARIANTS = [
    Variant("plain"),
    Variant("checkpoints", checkpointing=True),
    Variant("streaming", streaming=True),
    Variant("streaming-checkpoints", streaming=True, checkpointing=True),
    Variant("signed", cloud=True),
    Variant("signed-checkpoints", cloud=True, checkpointing=True),
    Variant("connect", mode="connect"),
    Variant("connect-checkpoints", mode="connect", checkpointing=True),
    Variant("connect-signed", mode="connect", cloud=True),
    Variant("v3", sdk="inngest3"),
    Variant("v3-checkpoints", sdk="inngest3", checkpointing=True),
    Variant("v3-signed-streaming", sdk="inngest3", cloud=True, streaming=True),
    Variant("v3-connect", sdk="inngest3", mode="connect"),
]


class JsStage(Stage):
    """A stage whose app is a Node process. The `client` of its own sends events, and serves nothing."""

    variant: Variant
    app_origin: str

    def ask_app(self, path: str, **body: object) -> Any:
        """What the Node process answers to a test."""
        request = self.http.post if body or "realtime" in path else self.http.get
        return request(f"{self.app_origin}{path}", **({"json": body} if body else {})).raise_for_status().json()


def installed() -> Path:
    """A folder with the app and its packages. Skips the test where they cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js with npm is not installed")
    if _node_version() < _OLDEST_NODE:
        pytest.skip(f"Node.js is {_node_version()}; the app needs {_OLDEST_NODE} or newer")
    folder = _cache_folder()
    with _alone(folder):
        if not (folder / "complete").exists():
            _install(npm, folder)
        for source in SOURCES.glob("*.mjs"):
            shutil.copy(source, folder)
    return folder


@contextmanager
def staged(folder: Path, variant: Variant, script: str = "server.mjs") -> Iterator[JsStage]:
    """The app, serving, and known to a dev server of its own whose sleeps take no time."""
    with VirtualClock() as clock, DevServer(clock=clock, **_server_options(variant)) as dev:
        stage = JsStage(STACKS[0], dev, **_client_options(variant))
        stage.variant = variant
        command = ["node", *_node_options(), script]
        with ProcessServer(command, cwd=folder, env=_env(stage), ready_log=_PORT, name="the Node app") as server:
            port = next(found[1] for line in server.logs if (found := _PORT.search(line)))
            stage.app_origin = f"http://127.0.0.1:{port}"
            if script == "server.mjs":
                _register(stage)
            yield stage
        stage.close()


def _server_options(variant: Variant) -> Any:
    return {"kind": "cloud", "signing_key": _KEY} if variant.cloud else {}


def _client_options(variant: Variant) -> Any:
    return {"is_production": True, "signing_key": _KEY, "event_key": "key"} if variant.cloud else {}


def _env(stage: JsStage) -> dict[str, str]:
    variant = stage.variant
    keys = {"INNGEST_SIGNING_KEY": _KEY, "INNGEST_EVENT_KEY": "key"} if variant.cloud else {}
    return keys | {
        "APP_ID": stage.app_id,
        "SDK": variant.sdk,
        "MODE": variant.mode,
        "CHECKPOINTING": str(int(variant.checkpointing)),
        "STREAMING": str(int(variant.streaming)),
        "CLOUD": str(int(variant.cloud)),
        "DEV_SERVER": stage.dev.origin,
        "AUTHORIZATION": stage.http.headers.get("authorization", ""),
    }


def _register(stage: JsStage) -> None:
    if stage.variant.mode == "serve":
        stage.dev.sync(f"{stage.app_origin}/api/inngest")
    until(lambda: stage.dev._platform.engine.apps.app(stage.app_id), "the registration of the Node app")


def _node_options() -> list[str]:
    return [] if _node_version() >= _NODE_WITH_SOCKETS else ["--experimental-websocket"]


@cache
def _node_version() -> int:
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    return int(version.strip().lstrip("v").split(".")[0])


def _cache_folder() -> Path:
    wanted = hashlib.sha256((SOURCES / "package.json").read_bytes()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "steprig-tests" / f"js-{wanted}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"steprig-tests-{os.getuid()}" / f"js-{wanted}"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: tests may run in several."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(npm: str, folder: Path) -> None:
    if (folder / "failed").exists() and os.environ.get("PYTEST_XDIST_TESTRUNUID") == (folder / "failed").read_text():
        pytest.skip("npm could not install the app's packages, as another worker found")
    shutil.copy(SOURCES / "package.json", folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT)
        problem = done.stderr if done.returncode else None
    except subprocess.TimeoutExpired:
        problem = f"npm took longer than {_INSTALL_TIMEOUT} s"
    if problem is not None and not _NO_NETWORK.search(problem):
        pytest.fail(f"npm cannot install the app's packages: {problem[-1000:]}")
    if problem is not None:
        (folder / "failed").write_text(os.environ.get("PYTEST_XDIST_TESTRUNUID", ""))
        pytest.skip(f"there is no network to install the app's packages from: {problem[-300:]}")
    (folder / "complete").touch()
