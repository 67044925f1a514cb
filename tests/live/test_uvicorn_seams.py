"""What steprig needs of uvicorn; a failure here says what a new uvicorn has changed."""

import inspect

import uvicorn
from uvicorn.server import ServerState

from steprig.live.application import resolve


async def app(scope, receive, send): ...


def test_the_server_has_the_methods_that_are_replaced():
    assert inspect.iscoroutinefunction(uvicorn.Server.main_loop)
    assert list(inspect.signature(uvicorn.Server.main_loop).parameters) == ["self"]
    assert list(inspect.signature(uvicorn.Server.shutdown).parameters) == ["self", "sockets"]
    assert list(inspect.signature(uvicorn.Server.on_tick).parameters) == ["self", "counter"]


def test_connections_and_tasks_are_kept_in_sets():
    state = ServerState()

    assert (type(state.connections), type(state.tasks)) == (set, set)
    assert state.default_headers == []


def test_loading_a_configuration_asks_load_app_for_the_application():
    class Config(uvicorn.Config):
        def load_app(self):
            return app

    config = Config("nothing:here", log_config=None)
    config.load()

    assert config.loaded_app is not None
    assert config.lifespan_class is not None


def test_an_import_string_is_resolved_to_what_it_names():
    assert resolve("starlette.applications:Starlette", "auto", factory=True).__class__.__name__ == "Starlette"
