"""Mistakes in options are found when a server is made."""

import pytest

from steprig.live import UvicornTestServer


async def app(scope, receive, send): ...


@pytest.mark.parametrize("option", ["fd", "workers", "reload", "reload_dirs", "log_config"])
def test_an_option_that_makes_no_sense_is_refused_with_the_reason(option):
    with pytest.raises(TypeError, match=f"option '{option}' cannot be used here: "):
        UvicornTestServer(app, **{option: 1})


def test_an_unknown_option_is_refused_with_those_that_come_close():
    with pytest.raises(TypeError, match=r"no option 'ssl_certfil'; did you mean 'ssl_certfile'"):
        UvicornTestServer(app, ssl_certfil="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lifespan": "maybe"}, "lifespan has to be one of auto, on, off, got 'maybe'"),
        ({"interface": "cgi"}, "interface has to be one of auto, asgi3, asgi2, wsgi, got 'cgi'"),
        ({"port": 70_000}, "port has to be between 0 and 65535, got 70000"),
        ({"log_level": "loud"}, "log_level has to be one of .*got 'loud'"),
    ],
)
def test_a_value_that_uvicorn_does_not_know_is_a_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        UvicornTestServer(app, **options)


def test_log_levels_may_be_numbers_and_in_any_case():
    UvicornTestServer(app, log_level=10)
    UvicornTestServer(app, log_level="INFO")
