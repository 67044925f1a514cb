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
from pathlib import Path

import pytest

from steprig.live import ProcessServer

from .stage import Stage

SOURCES = Path(__file__).parent / "js"
_PORT = re.compile(r"serving on port (\d+)")
_INSTALL_TIMEOUT = 240
_OLDEST_NODE = 20


def installed() -> Path:
    """A folder with the app and its packages. Skips the test where they cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js with npm is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < _OLDEST_NODE:
        pytest.skip(f"Node.js is {version.strip()}; the app needs {_OLDEST_NODE} or newer")
    folder = _cache_folder()
    with _alone(folder):
        if not (folder / "complete").exists():
            _install(npm, folder)
        shutil.copy(SOURCES / "server.mjs", folder)
    return folder


@contextmanager
def started(folder: Path, stage: Stage, *, checkpointing: bool) -> Iterator[None]:
    """The app, serving, and known to the stage's dev server under the stage's app id."""
    server = ProcessServer(
        ["node", "server.mjs"],
        cwd=folder,
        env={"APP_ID": stage.app_id, "CHECKPOINTING": str(int(checkpointing)), "INNGEST_DEV": stage.dev.origin},
        ready_log=_PORT,
        name="the Node app",
    )
    with server:
        port = next(found[1] for line in server.logs if (found := _PORT.search(line)))
        stage.dev.sync(f"http://127.0.0.1:{port}/api/inngest")
        yield


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
    if problem is not None:
        (folder / "failed").write_text(os.environ.get("PYTEST_XDIST_TESTRUNUID", ""))
        pytest.skip(f"npm cannot install the app's packages (is there a network?): {problem[-300:]}")
    (folder / "complete").touch()
