"""Packages that only some of this needs."""

from importlib import import_module
from typing import Any


def needed(module: str, extra: str, what: str) -> Any:
    """Import a module of an extra.

    Raises:
        ImportError: It is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{what} needs the package {error.name!r}, which is not installed: pip install 'steprig[{extra}]'",
            name=error.name,
        ) from error
