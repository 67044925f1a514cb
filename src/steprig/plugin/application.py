"""The application that the ini option `steprig_app` names."""

import difflib
import importlib
from collections.abc import Callable
from functools import reduce

import pytest

_MISSING = """\
there is no application to serve. Give one in either of two ways:

  - override the fixture `asgi_app`, in a conftest.py or in the test module:

        @pytest.fixture(scope="session")
        def asgi_app():
            return app

  - or name it in the pytest configuration:

        [tool.pytest.ini_options]
        steprig_app = "package.module:app"    # for a factory "package.module:create_app()"
"""


def configured_app(config: pytest.Config) -> Callable[..., object]:
    """The application, or for a factory a function that makes a new one at each call.

    Raises:
        pytest.UsageError: the option is not set, or names nothing that can be called.
    """
    target = str(config.getini("steprig_app")).strip()
    if not target:
        raise pytest.UsageError(_MISSING)
    found = _import(target.removesuffix("()"), target)
    if not callable(found):
        raise _unusable(target, f"it is no application but of type {type(found).__qualname__}")
    if not target.endswith("()"):
        return found
    factory = found

    def make_app() -> object:
        return factory()

    return make_app


def _import(path: str, target: str) -> object:
    module_name, colon, attributes = path.partition(":")
    if not (module_name and colon and attributes):
        raise _unusable(target, "expected 'module:attribute', or 'module:factory()'")
    try:
        module: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another one
        hint = "is the directory that it is in listed in the option `pythonpath`?"
        raise _unusable(target, f"there is no module {error.name!r}; {hint}") from None
    try:
        return reduce(getattr, attributes.split("."), module)
    except AttributeError:
        close = difflib.get_close_matches(attributes, dir(module))
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise _unusable(target, f"module {module_name!r} has no {attributes!r}{hint}") from None


def _unusable(target: str, problem: str) -> pytest.UsageError:
    return pytest.UsageError(f"steprig_app = {target!r} cannot be used: {problem}")
