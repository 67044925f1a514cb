"""What may be served: tells ASGI and WSGI applications, factories and mistakes apart.

Uvicorn finds out by calling: whatever can be called without arguments it takes for a factory,
and whatever remains for ASGI 2, so that a mistake becomes a 500 for each request. Here an object
is judged by the arguments it takes, before anything is started.
"""

import inspect
from collections.abc import Callable
from functools import partial

from uvicorn.importer import import_from_string
from uvicorn.middleware.asgi2 import ASGI2Middleware
from uvicorn.middleware.wsgi import WSGIMiddleware  # type: ignore[attr-defined]

Application = Callable[..., object]
"""An ASGI or WSGI application, or a factory of one."""

_ASGI3, _WSGI, _ASGI2, _FACTORY = 3, 2, 1, 0
"""The number of arguments that each kind of callable takes."""

_RECEIVE_AND_SEND_OF_A_METHOD = 3
"""`self` counts, as the method is looked up on the class."""


def check(app: Application | str, interface: str, *, factory: bool) -> None:
    """Refuse what cannot be served.

    Args:
        app: what the user gave; an import string is checked only when it is imported.
        interface: uvicorn's option: auto, asgi3, asgi2 or wsgi.
        factory: whether `app` was declared to be a factory.

    Raises:
        TypeError: `app` is neither an application for that interface nor a factory.
    """
    if isinstance(app, str):
        return
    if not (_is_factory(app, interface, declared=factory) or (_serves(app, interface) and not factory)):
        raise TypeError(f"`app` {_refusal(app, interface, factory=factory)}")


def resolve(app: Application | str, interface: str, *, factory: bool) -> Application:
    """Import and call what has to be, and return an application of ASGI 3.

    Raises:
        TypeError: what was imported or made is no application for that interface.
        Exception: whatever the import or the factory raises.
    """
    found: Application
    if isinstance(app, str):
        found = import_from_string(app)
        check(found, interface, factory=factory)
    else:
        found = app
    if _is_factory(found, interface, declared=factory):
        found = _call_factory(found, interface)
    return _as_asgi3(found, interface)


def _call_factory(factory: Application, interface: str) -> Application:
    made = factory()
    if not callable(made) or not _serves(made, interface):
        raise TypeError(f"the factory {_name(factory)} returned what {_refusal(made, interface, factory=False)}")
    return made


def _as_asgi3(app: Application, interface: str) -> Application:
    if interface == "wsgi":
        return WSGIMiddleware(app)  # type: ignore[arg-type]
    if interface == "asgi2" or (interface == "auto" and _is_asgi2_class(app)):
        return ASGI2Middleware(app)  # type: ignore[arg-type]
    return app


def _is_factory(app: Application, interface: str, *, declared: bool) -> bool:
    # An object with a `__call__` of its own (an aiohttp Application, say) makes nothing, unless it
    # is said to.
    makes = declared or inspect.isclass(app) or inspect.isroutine(app) or isinstance(app, partial)
    if not makes or _is_async(app) or not _takes(app, _FACTORY):
        return False
    # What takes any number of arguments is more likely to be an application.
    return declared or not (_serves(app, interface) and _is_variadic(app))


def _serves(app: Application, interface: str) -> bool:
    if inspect.isclass(app):
        return (interface in ("auto", "asgi2") and _is_asgi2_class(app)) or hasattr(app, "__await__")
    if interface == "wsgi":
        return _takes(app, _WSGI) and not _is_async(app)
    return _takes(app, _ASGI2 if interface == "asgi2" else _ASGI3)


def _is_asgi2_class(app: Application) -> bool:
    """ASGI 2: made with the scope, then called with receive and send."""
    if not (inspect.isclass(app) and _takes(app, _ASGI2)):
        return False
    calls = [vars(base)["__call__"] for base in app.__mro__ if "__call__" in vars(base)]
    return bool(calls) and _takes(calls[0], _RECEIVE_AND_SEND_OF_A_METHOD)


def _takes(app: object, count: int) -> bool:
    if not callable(app):
        return False
    try:
        inspect.signature(app).bind(*(None,) * count)
    except TypeError:
        return False
    except ValueError:  # A callable written in C may have no signature to judge by.
        return count != _FACTORY
    return True


def _is_async(app: object) -> bool:
    if inspect.isclass(app):
        return False
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def _is_variadic(app: Application) -> bool:
    kinds = {parameter.kind for parameter in inspect.signature(app).parameters.values()}
    return inspect.Parameter.VAR_POSITIONAL in kinds


def _refusal(app: object, interface: str, *, factory: bool) -> str:
    found = f"{_name(app)} of type {type(app).__module__}.{type(app).__qualname__}"
    if factory:
        return f"is no factory: factory=True needs a callable without arguments that is not async, got {found}"
    if interface == "wsgi":
        return f"is no WSGI application: it has to take environ and start_response, got {found}"
    hint = "; for a WSGI application pass interface='wsgi'" if _takes(app, _WSGI) else ""
    return (
        "is no ASGI application: it has to take scope, receive and send, or be a factory without "
        f"arguments or an import string 'module:attribute', got {found}{hint}"
    )


def _name(app: object) -> str:
    return getattr(app, "__qualname__", None) or "an object"
