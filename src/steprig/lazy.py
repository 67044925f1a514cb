"""Public names that are imported when they are first used (PEP 562).

The pytest plugin imports this package in every test run, also in those that use nothing of it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str, names_in: Mapping[str, Sequence[str]], *, extra: str | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package.

    Args:
        package: Its name.
        names_in: For each of its modules, the public names that it defines.
        extra: The extra of steprig that a missing package belongs to, for the error.
    """
    homes = {name: f"{package}.{module}" for module, names in names_in.items() for name in names}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value: object = getattr(import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            if extra is None or error.name is None or error.name.partition(".")[0] == "steprig":
                raise
            raise ImportError(
                f"{package}.{name} needs the package {error.name!r}, which is not installed: "
                f"pip install 'steprig[{extra}]'",
                name=error.name,
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
