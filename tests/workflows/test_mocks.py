"""Mocks of resources: what they give, and how they are configured."""

import asyncio
import copy
import inspect
from collections import deque
from unittest.mock import DEFAULT, AsyncMock, Mock

import pytest

from steprig.workflows import MockResource, MockResourceRegistry, UnknownResourceError

from .cases import Shop, made, run


class Mailer(MockResource):
    """A mock of one's own."""

    async def send(self, to):
        return f"sent to {to}"


def test_a_free_mock_gives_what_databases_and_caches_give_when_empty():
    _, mock = made()

    async def use():
        assert await mock.fetch() == []
        assert [await mock.execute(), await mock.fetchone(), await mock.fetchval(), await mock.get()] == [None] * 4
        async with await mock.acquire() as one, mock.acquire() as other:
            assert one is mock
            assert other is mock
        response = await mock.post()
        assert await response.json() is not None

    run(use())


def test_side_effects_follow_one_another_and_then_say_that_they_are_used_up():
    _, mock = made()
    mock.operation.side_effect = [ConnectionError("fail"), {"success": True}]

    async def use():
        with pytest.raises(ConnectionError):
            await mock.operation()
        assert await mock.operation() == {"success": True}
        with pytest.raises(StopAsyncIteration, match="operation"):
            await mock.operation()

    run(use())


@pytest.mark.parametrize(
    "effect", [AsyncMock(return_value=7), Mock(return_value=7), lambda *_: 7], ids=["async mock", "mock", "function"]
)
def test_a_side_effect_may_be_any_function(effect):
    _, mock = made()
    mock.post.side_effect = effect

    assert run(mock.post("x")) == 7


def test_rows_that_a_test_adds_to_an_empty_answer_are_no_other_mocks():
    _, first = made()
    _, second = made()

    run(first.fetch()).append("a row")

    assert run(second.fetch()) == []


def test_a_method_that_is_reset_is_configured_no_more():
    _, mock = made()
    mock.send.return_value = "sent"
    mock.get.side_effect = [1]

    mock.send.reset_mock()
    mock.get.reset_mock()

    assert run(mock.send()) != "sent"
    assert run(mock.get()) is None


def test_a_side_effect_gives_what_it_returns_and_default_means_the_return_value():
    _, mock = made()
    mock.send.return_value = "sent"

    mock.send.side_effect = lambda: None
    assert run(mock.send()) is None
    mock.send.side_effect = lambda: DEFAULT
    assert run(mock.send()) == "sent"


def test_a_response_is_configured_before_it_is_given():
    _, mock = made()
    mock.get.return_value.json.return_value = {"id": 1}

    async def use():
        return await (await mock.get("/users/1")).json()

    assert run(use()) == {"id": 1}


def test_a_call_can_be_entered_as_well_as_awaited():
    _, mock = made()
    mock.get.return_value.__aenter__.return_value = "response"

    async def use():
        async with mock.get("/users/1") as response:
            assert response == "response"
        mock.get.return_value.__aexit__.assert_awaited_once()
        task = asyncio.create_task(mock.fetch())
        assert await task == []
        with pytest.raises(TypeError, match="asynchronous context manager"):
            async with mock.fetch():
                pass

    run(use())
    assert [(each.method, each.done) for each in mock.get_calls()] == [("get", True), ("fetch", True), ("fetch", True)]


def test_what_unittest_mock_knows_is_answered_from_the_calls():
    _, mock = made()
    run(mock.fetch("q", limit=1))

    mock.fetch.assert_awaited_once_with("q", limit=1)
    assert (mock.fetch.call_count, mock.fetch.called, mock.fetch.await_count) == (1, True, 1)
    assert mock.fetch.call_args.kwargs == {"limit": 1}
    with pytest.raises(AssertionError, match=r"fetch\('other'\)"):
        mock.fetch.assert_called_with("other")
    assert asyncio.iscoroutinefunction(mock.fetch)


@pytest.mark.parametrize("typo", ["assert_called_onec", "assret_called", "assert_called"])
def test_an_assertion_misspelled_or_at_the_wrong_place_is_no_method(typo):
    _, mock = made()

    with pytest.raises(AttributeError, match=typo):
        getattr(mock, typo)
    if typo != "assert_called":
        with pytest.raises(AttributeError, match=typo):
            getattr(mock.fetch, typo)


def test_an_async_mock_set_as_a_method_is_tracked_and_stays_itself():
    registry, mock = made()
    given = AsyncMock(return_value=3)
    mock.fetch = given

    assert run(mock.fetch("q")) == 3

    given.assert_awaited_once_with("q")
    mock.fetch.assert_awaited_once_with("q")
    registry.assert_called("service", "fetch", times=1, with_args=("q",))


def test_a_mock_that_a_factory_gives_keeps_what_was_set_on_it_and_its_methods_can_be_awaited():
    given = Mock()
    given.get.return_value = 5
    given.version = 2
    given.session.return_value = AsyncMock(**{"__aenter__.return_value": "session"})
    _, mock = made(lambda: given)

    async def use():
        async with mock.session() as session:
            return await mock.get("k"), await mock.fetch(), mock.version, session

    assert run(use()) == (5, [], 2, "session")


def test_the_object_that_a_factory_gives_is_the_mock_and_still_works():
    shop = Shop()
    registry, mock = made(lambda: shop)

    assert mock is shop
    assert run(mock.order("tea", count=2)) == 1
    assert mock.total() == 1
    assert [(each.method, each.result) for each in registry.get_calls("service")] == [("order", 1), ("total", 1)]


@pytest.mark.parametrize("name", ["called", "call_count", "mock_calls", "return_value", "side_effect"])
def test_what_only_methods_have_is_not_to_be_had_from_the_mock_itself(name):
    _, mock = made()

    with pytest.raises(AttributeError, match="ask one of its methods"):
        getattr(mock, name)
    with pytest.raises(AttributeError, match="ask one of its methods"):
        setattr(mock, name, 1)


def test_a_class_may_have_such_names_itself():
    class Phone:
        called = False

        async def side_effect(self):
            return "rings"

    _, mock = made(spec=Phone)
    mock.side_effect.return_value = "is silent"

    assert run(mock.side_effect()) == "is silent"
    assert made(Phone)[1].called is False

    class Slim:
        __slots__ = ("called",)

    slim = Slim()
    slim.called = True
    assert made(lambda: slim)[1].called is True


def test_a_mock_and_its_methods_are_configured_by_paths_too():
    _, mock = made()

    mock.configure_mock(**{"fetch.return_value": [1], "get.side_effect": ConnectionError("down"), "version": 2})
    mock.post.configure_mock(**{"return_value.status": 201})

    assert (run(mock.fetch()), mock.version, run(mock.post()).status) == ([1], 2, 201)
    with pytest.raises(ConnectionError):
        run(mock.get())
    with pytest.raises(AttributeError, match="attach_mock"):
        mock.fetch.attach_mock(Mock(), "other")


def test_a_copy_of_a_mock_is_the_mock():
    _, mock = made()

    assert copy.deepcopy({"client": mock})["client"] is mock
    run(copy.copy(mock).fetch())
    assert [each.method for each in mock.get_calls()] == ["fetch"]


def test_a_call_as_a_task_is_cancelled_where_it_waits():
    _, mock = made()
    stopped = []

    async def wait():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    mock.send.side_effect = wait

    async def use():
        task = asyncio.create_task(mock.send())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(use())
    (record,) = mock.get_calls()
    assert (stopped, type(record.exception), record.done) == ([True], asyncio.CancelledError, True)


def test_a_mock_resource_of_ones_own_stays_one_when_others_are_let_go():
    registry, mailer = MockResourceRegistry(), Mailer()
    registry.register_mock("mailer", mailer)
    run(mailer.send("ada"))

    registry.restore()

    run(mailer.send("eve"))
    assert [each.args for each in mailer.get_calls("send")] == [("ada",), ("eve",)]


class Incomparable:
    def __eq__(self, other):
        raise ValueError("neither true nor false, as an array is")

    __hash__ = None


def test_what_was_set_on_an_object_meanwhile_stays_whatever_it_is():
    registry, shop, array = MockResourceRegistry(), Shop(), Incomparable()
    registry.register_mock("shop", shop)
    shop.order = array

    registry.restore()

    assert shop.order is array


@pytest.mark.parametrize("rows", [[1, 2], AsyncMock(**{"__aiter__.return_value": [1, 2]})], ids=["list", "async"])
def test_what_a_call_gives_can_be_gone_through(rows):
    _, mock = made()
    mock.stream.return_value = rows

    async def use():
        return [each async for each in mock.stream("orders")]

    assert run(use()) == [1, 2]
    assert mock.get_calls()[0].done


def test_an_async_method_of_an_object_still_gives_a_coroutine_and_no_more():
    _, mock = made(Shop)

    assert inspect.iscoroutine(call := mock.order("tea"))
    assert run(call) == 1


def test_an_object_that_takes_no_attributes_is_stood_in_for():
    registry, mock = made(lambda: deque([1]))

    mock.append(2)

    assert mock.pop() == 2
    assert [each.method for each in registry.get_calls("service")] == ["append", "pop"]


@pytest.mark.parametrize(
    "factory", [Shop, lambda: asyncio.sleep(0, Shop()), type("F", (), {"create": lambda s: Shop()})()]
)
def test_a_factory_is_a_class_an_async_function_or_has_create(factory):
    _, mock = made(factory)

    assert run(mock.order("tea")) == 1


def test_a_thing_that_is_no_factory_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match="lambda: the_object"):
        made(3)


def test_with_a_spec_only_what_the_class_has_can_be_called_and_only_so():
    _, mock = made(spec=Shop)
    mock.order.return_value = 9

    assert run(mock.order("tea", count=2)) == 9
    assert inspect.iscoroutinefunction(mock.order.given)
    with pytest.raises(AttributeError, match=r"'refund', as Shop has none; that has: order, store, total"):
        _ = mock.refund
    with pytest.raises(TypeError, match="colour"):
        run(mock.order("tea", colour="green"))
    assert not inspect.isawaitable(mock.total())
    assert mock.get_calls("order")[0].args == ("tea",)


def test_a_mock_resource_of_ones_own_is_tracked_once_registered():
    registry, mailer = MockResourceRegistry(), Mailer()
    registry.register_mock("mailer", mailer)

    assert run(mailer.send("ada")) == "sent to ada"
    assert [each.args for each in mailer.get_calls("send")] == [("ada",)]
    registry.assert_called("mailer", "send", times=1)


def test_a_mock_cannot_be_configured_before_it_is_made():
    with pytest.raises(UnknownResourceError, match="create_test_resource"):
        MockResourceRegistry().expect_call("service", "fetch", returns=1)


def test_an_expected_call_gives_or_raises():
    registry, mock = made()
    registry.expect_call("service", "fetch", returns=[1])
    registry.expect_call("service", "send", raises=ConnectionError("down"))

    assert run(mock.fetch()) == [1]
    with pytest.raises(ConnectionError):
        run(mock.send())
