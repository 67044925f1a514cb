"""Which objects are taken for an application, a factory or a mistake."""

import functools

import aiohttp.web
import flask
import pytest
from starlette.applications import Starlette

from steprig.live import UvicornTestServer


async def asgi(scope, receive, send): ...


async def variadic(*args): ...


def returns_awaitable(scope, receive, send):
    return asgi(scope, receive, send)


def factory():
    return asgi


def factory_with_defaults(debug=False):
    return asgi


async def async_factory():
    return asgi


def wsgi(environ, start_response): ...


class Asgi3:
    async def __call__(self, scope, receive, send): ...


class Asgi2:
    def __init__(self, scope): ...
    async def __call__(self, receive, send): ...


class Unrelated:
    def __init__(self, settings): ...


async def endpoint(request): ...


@pytest.mark.parametrize(
    "app",
    [
        asgi,
        variadic,
        returns_awaitable,
        factory,
        factory_with_defaults,
        functools.partial(lambda name: asgi, "a"),
        Asgi3(),
        Asgi3,
        Asgi2,
        Starlette(),
        "no.such:thing",
    ],
)
def test_applications_and_factories_are_accepted(app):
    UvicornTestServer(app)


@pytest.mark.parametrize("app", [wsgi, flask.Flask("x"), lambda: wsgi])
def test_wsgi_applications_are_accepted_for_the_wsgi_interface(app):
    UvicornTestServer(app, interface="wsgi")


@pytest.mark.parametrize("app", [None, 1, {}, endpoint, Unrelated, async_factory, object()])
def test_what_is_no_application_is_a_type_error(app):
    with pytest.raises(TypeError, match="is no ASGI application"):
        UvicornTestServer(app)


def test_an_aiohttp_application_is_a_type_error_that_names_its_type():
    app = aiohttp.web.Application()

    with pytest.raises(TypeError, match=r"is no ASGI application.*aiohttp\.web_app\.Application"):
        UvicornTestServer(app)


@pytest.mark.parametrize("app", [wsgi, flask.Flask("x")])
def test_a_wsgi_application_is_told_about_the_interface_option(app):
    with pytest.raises(TypeError, match="interface='wsgi'"):
        UvicornTestServer(app)


def test_an_asgi_application_is_no_wsgi_application():
    with pytest.raises(TypeError, match="is no WSGI application"):
        UvicornTestServer(asgi, interface="wsgi")


@pytest.mark.parametrize("app", [asgi, async_factory, endpoint])
def test_a_declared_factory_has_to_be_callable_without_arguments(app):
    with pytest.raises(TypeError, match="is no factory"):
        UvicornTestServer(app, factory=True)
