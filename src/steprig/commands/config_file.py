"""The configuration file of `inngest-cli`: options by their names, in JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steprig.errors import SteprigError

NAME = "inngest.json"
_OTHERS = ("inngest.yaml", "inngest.yml")
_LISTS = ("sdk-url", "event-key")


class ConfigFileError(SteprigError, ValueError):
    """A configuration file cannot be used. The message says which and why."""


def read(path: Path) -> dict[str, Any]:
    """What a file says: option names, as they are on the command line but for the dashes in front, with values.

    Raises:
        ConfigFileError: It cannot be read, or is no JSON object.
    """
    if path.suffix in (".yaml", ".yml"):
        raise ConfigFileError(f"{path} is YAML, which steprig does not read; write it as JSON, such as {NAME}")
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigFileError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigFileError(f'{path} holds {type(found).__name__}; expected an object such as {{"port": 8288}}')
    return {name: [said] if name in _LISTS and isinstance(said, str) else said for name, said in found.items()}


def search(directory: Path, home: Path) -> Path | None:
    """The file that counts where none is named: in a directory, one above it, or `~/.config/inngest`."""
    for place in _places(directory, home):
        for name in (NAME, *_OTHERS):
            if (path := place / name).is_file():
                return path
    return None


def _places(directory: Path, home: Path) -> Iterator[Path]:
    yield directory
    yield from directory.parents
    yield home / ".config" / "inngest"
