"""Mocks of resources: what they give, and what is known of their calls."""

import asyncio
import inspect
from collections import deque
from unittest.mock import DEFAULT, AsyncMock, Mock

import pytest

from steprig.workflows import CallRecord, MockResource, MockResourceRegistry, UnknownResourceError


def run(coroutine):
    return asyncio.run(coroutine)


def made(factory=None, **options):
    registry = MockResourceRegistry()
    return registry, run(registry.create_mock("service", factory, **options))


def test_a_call_is_kept_with_arguments_result_time_and_duration():
    registry, mock = made()
    mock.fetch.return_value = [1, 2]

    run(mock.fetch("q", limit=2))

    (record,) = registry.get_calls("service")
    assert isinstance(record, CallRecord)
    assert (record.method, record.args, record.kwargs, record.result) == ("fetch", ("q",), {"limit": 2}, [1, 2])
    assert record.timestamp.tzinfo is not None
    assert record.done
    assert record.duration > 0


def test_a_call_that_raises_keeps_the_exception():
    registry, mock = made()
    mock.fetch.side_effect = ConnectionError("down")

    with pytest.raises(ConnectionError, match="down"):
        run(mock.fetch())

    assert isinstance(registry.get_calls("service", "fetch")[0].exception, ConnectionError)


def test_a_call_that_is_never_awaited_is_there_and_not_done():
    registry, mock = made()

    mock.fetch("q").close()

    assert not registry.get_calls("service")[0].done


def test_reading_calls_changes_nothing():
    registry, mock = made()
    run(mock.fetch())

    assert [len(registry.get_calls("service", "fetch")) for _ in range(3)] == [1, 1, 1]
    assert len(registry.get_calls("service")) == len(mock.get_calls()) == 1


def test_calls_of_all_methods_are_in_order():
    _, mock = made()

    async def use():
        await mock.begin()
        await mock.execute("x")
        await mock.commit()

    run(use())
    assert [each.method for each in mock.get_calls()] == ["begin", "execute", "commit"]
    assert [each.args for each in mock.get_calls("execute")] == [("x",)]


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


def test_what_unittest_mock_knows_is_answered_from_the_calls():
    _, mock = made()
    run(mock.fetch("q", limit=1))

    mock.fetch.assert_awaited_once_with("q", limit=1)
    assert (mock.fetch.call_count, mock.fetch.called, mock.fetch.await_count) == (1, True, 1)
    assert mock.fetch.call_args.kwargs == {"limit": 1}
    with pytest.raises(AssertionError, match=r"fetch\('other'\)"):
        mock.fetch.assert_called_with("other")
    assert asyncio.iscoroutinefunction(mock.fetch)


def test_what_hangs_on_a_method_is_tracked_by_its_path():
    _, mock = made()
    mock.users.find.return_value = "Ada"

    assert run(mock.users.find(1)) == "Ada"
    assert mock.get_calls()[0].method == "users.find"


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
    _, mock = made(lambda: given)

    async def use():
        return await mock.get("k"), await mock.fetch(), mock.version

    assert run(use()) == (5, [], 2)


class Shop:
    def __init__(self):
        self.orders = []

    async def order(self, item, *, count=1):
        return await self.store(item, count)

    async def store(self, item, count):
        self.orders.append((item, count))
        return len(self.orders)

    def total(self):
        return len(self.orders)


def test_the_object_that_a_factory_gives_is_the_mock_and_still_works():
    shop = Shop()
    registry, mock = made(lambda: shop)

    assert mock is shop
    assert run(mock.order("tea", count=2)) == 1
    assert mock.total() == 1
    assert [(each.method, each.result) for each in registry.get_calls("service")] == [("order", 1), ("total", 1)]


def test_what_an_object_calls_on_itself_is_configured_but_not_counted():
    registry, mock = made(Shop)
    mock.store.return_value = 42

    assert run(mock.order("tea")) == 42
    assert [each.method for each in registry.get_calls("service")] == ["order"]


def test_calls_at_the_same_time_are_told_apart_from_the_objects_own():
    registry, mock = made(Shop)

    async def use():
        await asyncio.gather(*(mock.order(each) for each in "abc"), mock.store("d", 1))

    run(use())
    assert sorted(each.method for each in registry.get_calls("service")) == ["order", "order", "order", "store"]


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
    class Mailer(MockResource):
        async def send(self, to):
            return f"sent to {to}"

    registry, mailer = MockResourceRegistry(), Mailer()
    registry.register_mock("mailer", mailer)

    assert run(mailer.send("ada")) == "sent to ada"
    assert [each.args for each in mailer.get_calls("send")] == [("ada",)]
    registry.assert_called("mailer", "send", times=1)


def test_a_plain_async_mock_can_be_asserted_on():
    registry, mailer = MockResourceRegistry(), AsyncMock()
    mailer.send.return_value = Mock()
    registry.register_mock("mailer", mailer)

    run(mailer.send("ada", urgent=True)).receipt("now")

    registry.assert_called("mailer", "send", times=1, with_kwargs={"urgent": True})
    registry.assert_not_called("mailer", "close")
    assert [record.method for record in registry.get_calls("mailer")] == ["send"]
    assert registry.get_calls("mailer")[0].timestamp is None


def test_arguments_match_any_call_and_times_counts_those_that_match():
    registry, mock = made()

    async def use():
        await mock.send("ada", urgent=True, copy="bob")
        await mock.send("eve")
        await mock.send("ada")

    run(use())
    registry.assert_called("service", "send", times=2, with_args=("ada",))
    registry.assert_called("service", "send", times=1, with_args=("ada",), with_kwargs={"urgent": True})
    registry.assert_called("service", "send", times=0, with_args=("zoe",))
    with pytest.raises(AssertionError) as caught:
        registry.assert_called("service", "send", times=3, with_args=("ada",))
    message = str(caught.value)
    assert "service.send: expected 3 calls with with_args=('ada',), found 2 among 3 calls" in message
    assert "1. send('ada', urgent=True, copy='bob')" in message


def test_arguments_and_times_have_to_be_met_exactly():
    registry, mock = made()
    run(mock.send("ada", "bob"))
    run(mock.send("ada", "bob", copy=None))

    for wrong in (
        {"with_args": ("ada",)},
        {"with_args": ("ada", "eve")},
        {"times": 1},
        {"times": 3},
        {"times": 2, "with_kwargs": {"copy": None}},
        {"times": 0},
    ):
        with pytest.raises(AssertionError, match="expected"):
            registry.assert_called("service", "send", **wrong)
    registry.assert_called("service", "send", times=1, with_kwargs={"copy": None})


def test_of_many_calls_the_first_are_shown_and_the_others_counted():
    registry, mock = made()

    async def use():
        for number in range(60):
            await mock.send(number)

    run(use())
    with pytest.raises(AssertionError) as caught:
        registry.assert_not_called("service", "send")
    lines = str(caught.value).splitlines()
    assert lines[-2].startswith("  50. send(49)")
    assert lines[-1] == "  ... and 10 more"


def test_a_method_that_was_not_called_shows_what_was():
    registry, mock = made()
    run(mock.fetch("q"))

    with pytest.raises(AssertionError, match=r"found 0.\nThe calls of service:\n  1. fetch\('q'\) -> \[\]"):
        registry.assert_called("service", "send")


def test_an_unknown_mock_names_the_known_ones():
    registry, _ = made()

    with pytest.raises(UnknownResourceError, match=r"there is no mock 'mailer'; known: 'service'"):
        registry.assert_called("mailer", "send")
    with pytest.raises(KeyError):
        registry.get_calls("mailer")


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


def test_history_is_forgotten_for_one_or_for_all():
    registry, mock = made()
    run(mock.fetch())

    registry.reset_history("service")

    assert registry.get_calls("service") == []
    mock.fetch.assert_not_called()
    assert registry.list_mocks() == ["service"]

    other = run(registry.create_mock("other"))
    run(mock.fetch())
    run(other.fetch())
    registry.reset_history("other")
    assert [len(registry.get_calls(name)) for name in ("service", "other")] == [1, 0]
    run(other.fetch())
    registry.reset_history()
    assert [len(registry.get_calls(name)) for name in ("service", "other")] == [0, 0]
