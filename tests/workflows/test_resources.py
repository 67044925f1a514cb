"""The resources of a test: made once, found by name, and closed at its end."""

import asyncio
import html
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from steprig.workflows import AsyncWorkflowFixtures, UnknownResourceError

from .cases import Closing, case


def test_resources_end_last_first_and_once():
    closed = []

    async def body(test):
        for name in "abc":
            await test.create_test_resource(name, lambda name=name: Closing(name, closed))
        test.add_cleanup(lambda: closed.append("sync"))

    case(body)
    assert closed == ["sync", "c", "b", "a"]


def test_a_handler_takes_the_place_of_close_and_aclose_goes_before_close():
    closed = []

    class Both(Closing):
        async def aclose(self):
            closed.append("aclose")

    async def body(test):
        await test.create_test_resource("a", lambda: Both("close", closed))
        await test.create_test_resource(
            "b", lambda: Closing("b", closed), cleanup_handler=lambda it: closed.append(f"handled {it.name}")
        )

    case(body)
    assert closed == ["handled b", "aclose"]


def fixtures_of(closed):
    """Factories that yield, each as one may write it."""

    async def by_async_generator():
        yield Closing("of the resource", closed)
        closed.append("left")

    def by_generator():
        yield Closing("of the resource", closed)
        closed.append("left")

    return {
        "async generator": by_async_generator,
        "generator": by_generator,
        "async context manager": asynccontextmanager(by_async_generator),
        "context manager": contextmanager(by_generator),
        "lambda": lambda: asynccontextmanager(by_async_generator)(),
    }


@pytest.mark.parametrize("is_mock", [False, True], ids=["real", "mock"])
@pytest.mark.parametrize("form", [*fixtures_of([])])
def test_a_factory_may_yield_the_resource_and_goes_on_at_the_end(form, is_mock):
    closed = []

    async def body(test):
        await test.create_test_resource("first", lambda: Closing("first", closed))
        resource = await test.create_test_resource("it", fixtures_of(closed)[form], mock=is_mock)
        assert resource is test.get_resource("it")
        assert (resource.name, closed) == ("of the resource", [])

    case(body)
    assert closed == ["left", "first"]


def test_a_handler_takes_what_is_yielded_before_its_factory_goes_on():
    closed = []

    async def body(test):
        factory = fixtures_of(closed)["async generator"]
        await test.create_test_resource("it", factory, cleanup_handler=lambda it: closed.append("handled"))

    case(body)
    assert closed == ["handled", "left"]


def test_a_directory_can_be_a_resource():
    async def body(test):
        folder = Path(await test.create_test_resource("folder", AsyncWorkflowFixtures.temp_directory))
        (folder / "a.txt").write_text("a")
        return folder

    assert not case(body).exists()


def test_a_resource_that_can_be_entered_is_itself_what_one_gets():
    class Client(Closing):
        async def __aenter__(self):
            raise AssertionError("it is for the workflow to enter it")

        async def __aexit__(self, *error):
            pass

    closed = []
    case(lambda test: test.create_test_resource("client", lambda: Client("client", closed)))
    assert closed == ["client"]


class OnlySlots:
    __slots__ = ("closed",)

    def __init__(self, closed):
        self.closed = closed

    async def close(self):
        self.closed.append("slots")


def test_an_object_that_has_become_a_mock_is_closed_and_a_free_mock_is_not():
    closed = []

    async def body(test):
        free = await test.create_test_resource("free", None, mock=True)
        given = await test.create_test_resource("given", AsyncMock, mock=True)
        await test.create_test_resource("object", lambda: Closing("object", closed), mock=True)
        await test.create_test_resource("slots", lambda: OnlySlots(closed), mock=True)
        return free, given

    for mock in case(body):
        assert mock.get_calls() == []
    assert closed == ["slots", "object"]


class Mailer:
    """One object for the whole application, as a module would make it."""

    def __init__(self):
        self.format = str.upper

    async def send(self, to):
        return f"sent to {to}"

    async def close(self):
        return "closed"


def test_an_object_of_the_application_is_a_mock_for_one_test_only():
    mailer = Mailer()
    before = {**vars(mailer)}

    async def body(test):
        mock = await test.create_test_resource("mailer", lambda: mailer, mock=True)
        assert mock.get_calls() == []
        mock.send.return_value = "not sent"
        mock.close.side_effect = lambda: ended.append("as configured")
        assert await mailer.send("ann") == "not sent"
        assert mailer.format("a") == "A"
        test.assert_resource_called("mailer", "send", times=1)
        return test

    for _ in range(2):
        ended = []
        test = case(body)
        assert asyncio.run(mailer.send("ann")) == "sent to ann"
        assert vars(mailer) == before
        assert ended == ["as configured"]
        test.assert_resource_called("mailer", "close", times=1)


def test_what_a_module_has_is_its_own_again_after_a_test():
    async def body(test):
        await test.create_test_resource("html", lambda: html, mock=True)
        html.escape.return_value = "escaped"
        assert html.escape("<") == "escaped"

    before = {**vars(html)}
    case(body)
    assert vars(html) == before


def test_what_was_set_in_the_place_of_a_mocks_method_stays():
    mailer, other = Mailer(), AsyncMock()

    async def body(test):
        await test.create_test_resource("mailer", lambda: mailer, mock=True)
        mailer.send = other

    case(body)
    assert mailer.send is other


def test_an_unknown_resource_names_the_known_ones():
    async def body(test):
        await test.create_test_resource("db", lambda: object())
        await test.create_test_resource("mail", None, mock=True)
        assert (test.is_mock("db"), test.is_mock("mail")) == (False, True)
        with pytest.raises(UnknownResourceError, match=r"no resource 'cache'; known: 'db', 'mail'"):
            test.get_resource("cache")
        with pytest.raises(KeyError):
            test.is_mock("cache")

    case(body)


def test_a_name_is_taken_once():
    async def body(test):
        await test.create_test_resource("db", lambda: object())
        with pytest.raises(ValueError, match="there is a resource 'db' already"):
            await test.create_test_resource("db", None, mock=True)

    case(body)


def test_a_resource_that_is_not_healthy_is_refused_and_closed():
    closed = []

    async def body(test):
        with pytest.raises(RuntimeError, match="'db' is not healthy"):
            await test.create_test_resource(
                "db", lambda: Closing("db", closed), health_check=lambda it: asyncio.sleep(0, False)
            )

    case(body)
    assert closed == ["db"]


def test_a_resource_that_many_get_at_once_is_made_once():
    made = []

    async def make():
        await asyncio.sleep(0)
        made.append(object())
        return made[-1]

    async def body(test):
        test.resource_registry.register_factory("db", make)
        return await asyncio.gather(*(test.resource_registry.get_resource("db") for _ in range(10)))

    assert {id(each) for each in case(body)} == {id(made[0])}
    assert len(made) == 1
