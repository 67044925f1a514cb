"""The web frameworks on which an app may serve, each with functions that are async or not."""

import asyncio
import types
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import django
import fastapi
import flask
import inngest
import inngest.digital_ocean
import inngest.django
import inngest.fast_api
import inngest.flask
import inngest.tornado
import pytest
import tornado.web
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import clear_url_caches
from inngest.experimental import digital_ocean_simulator

Functions = list[inngest.Function]
Body = Callable[..., Any]


class Stack(NamedTuple):
    """A framework, and the kind of functions that it serves."""

    name: str
    runs_async: bool
    serve: Callable[[inngest.Inngest, Functions], Any]
    interface: str = "asgi3"
    path: str = "/api/inngest"
    one_call_at_a_time: bool = False
    """A call blocks the framework's loop, so that the next has to wait."""


class Call(NamedTuple):
    """A request of the dev server to the app, as the app's side saw it."""

    function: str
    step: str


def _fastapi(client: inngest.Inngest, functions: Functions) -> Any:
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, functions)
    return app


def _flask(client: inngest.Inngest, functions: Functions) -> Any:
    app = flask.Flask(__name__)
    inngest.flask.serve(app, client, functions)
    return app


class _Urls:
    """What Django takes for a module of URL patterns."""

    def __init__(self) -> None:
        self.urlpatterns: list[Any] = []


def _django(handler: Callable[[], Any]) -> Callable[[inngest.Inngest, Functions], Any]:
    def serve(client: inngest.Inngest, functions: Functions) -> Any:
        if not settings.configured:
            settings.configure(ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, DATA_UPLOAD_MAX_MEMORY_SIZE=None)
            django.setup()
        urls = _Urls()
        urls.urlpatterns.append(inngest.django.serve(client, functions))
        # Settings hold for the whole process, in which one test runs at a time.
        settings.ROOT_URLCONF = urls
        clear_url_caches()
        return handler()

    return serve


def _tornado(client: inngest.Inngest, functions: Functions) -> Any:
    app = _WatchedTornado()
    inngest.tornado.serve(app, client, functions)
    return app


class _WatchedTornado(tornado.web.Application):
    """Tornado has no layer between server and application where requests could be noted."""

    def __init__(self) -> None:
        super().__init__(log_function=lambda handler: None)
        self.calls: list[Call] = []

    def find_handler(self, request: Any, **options: Any) -> Any:
        if request.method == "POST":
            self.calls.append(_call(request.query))
        return super().find_handler(request, **options)


def _digital_ocean(client: inngest.Inngest, functions: Functions) -> Any:
    main = inngest.digital_ocean.serve(client, functions)
    return digital_ocean_simulator.DigitalOceanSimulator(main).app


STACKS = [
    Stack("fastapi-async", True, _fastapi),
    Stack("fastapi-sync", False, _fastapi),
    Stack("flask-async", True, _flask, "wsgi"),
    Stack("flask-sync", False, _flask, "wsgi"),
    Stack("django-asgi-async", True, _django(ASGIHandler)),
    Stack("django-wsgi-sync", False, _django(WSGIHandler), "wsgi"),
    Stack("tornado-sync", False, _tornado, "tornado", one_call_at_a_time=True),
    Stack("digital-ocean-sync", False, _digital_ocean, "wsgi", digital_ocean_simulator.FULL_PATH),
]

on_concurrent_stacks = pytest.mark.parametrize(
    "stage",
    [pytest.param(stack, id=stack.name) for stack in STACKS if not stack.one_call_at_a_time],
    indirect=True,
)
"""For tests in which several calls of an app are made at the same time."""


def written_for(stack: Stack, body: Body) -> Body:
    """A function whose `yield` means `await`, as the stack's functions are written: with `async def` or without."""
    return _as_async(body) if stack.runs_async else _as_sync(body)


def _as_async(body: Body) -> Body:
    async def run(*args: Any) -> Any:
        steps = body(*args)
        if not isinstance(steps, types.GeneratorType):
            return steps
        go_on: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                awaitable = go_on()
            except StopIteration as end:
                return end.value
            try:
                go_on = partial(steps.send, await awaitable)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - the SDK's interrupts are no exceptions
                go_on = partial(steps.throw, error)

    return run


def _as_sync(body: Body) -> Body:
    def run(*args: Any) -> Any:
        steps = body(*args)
        if not isinstance(steps, types.GeneratorType):
            return steps
        try:
            value = next(steps)
            while True:
                value = steps.send(value)
        except StopIteration as end:
            return end.value

    return run


def watched(app: Any, stack: Stack, calls: list[Call]) -> Any:
    """The app, noting every call of a function before it is answered."""
    if stack.interface == "tornado":
        app.calls = calls
        return app
    return _watched_wsgi(app, calls) if stack.interface == "wsgi" else _watched_asgi(app, calls)


def _watched_asgi(app: Any, calls: list[Call]) -> Any:
    async def watch(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            calls.append(_call(scope["query_string"].decode()))
        await app(scope, receive, send)

    return watch


def _watched_wsgi(app: Any, calls: list[Call]) -> Any:
    def watch(environ: Any, start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "POST":
            calls.append(_call(environ["QUERY_STRING"]))
        return app(environ, start_response)

    return watch


def _call(query: str) -> Call:
    values = parse_qs(query)
    return Call(values["fnId"][0], values["stepId"][0])
