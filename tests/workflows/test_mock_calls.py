"""What is known of the calls of mocks, and what can be asserted on them."""

import asyncio
import re
from unittest.mock import AsyncMock, Mock

import pytest

from steprig.workflows import CallRecord, MockResourceRegistry, UnknownResourceError

from .cases import Shop, made, run


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


def test_what_hangs_on_a_method_is_tracked_by_its_path():
    _, mock = made()
    mock.users.find.return_value = "Ada"

    assert run(mock.users.find(1)) == "Ada"
    assert mock.get_calls()[0].method == "users.find"


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


@pytest.mark.parametrize("times", [0, 1])
def test_a_mock_in_the_place_of_an_objects_method_is_told_of(times):
    registry, mock = made(Shop)
    mock.order = AsyncMock(return_value=9)

    run(mock.order("tea"))

    with pytest.raises(AssertionError, match=r"service.order are not known.* set the return_value or side_effect"):
        registry.assert_called("service", "order", times=times)
    registry.assert_called("service", "store", times=0)


def test_a_plain_async_mock_can_be_asserted_on():
    registry, mailer = MockResourceRegistry(), AsyncMock()
    mailer.send.return_value = Mock()
    registry.register_mock("mailer", mailer)

    run(mailer.send("ada", urgent=True)).receipt("now")

    registry.assert_called("mailer", "send", times=1, with_kwargs={"urgent": True})
    registry.assert_not_called("mailer", "close")
    assert [record.method for record in registry.get_calls("mailer")] == ["send"]
    assert registry.get_calls("mailer")[0].timestamp is None


def test_a_method_that_was_set_on_a_plain_mock_can_be_asserted_on():
    registry, mailer = MockResourceRegistry(), AsyncMock()
    mailer.send = AsyncMock(return_value="sent")
    registry.register_mock("mailer", mailer)

    assert run(mailer.send("ada")) == "sent"

    registry.assert_called("mailer", "send", times=1, with_args=("ada",))


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


@pytest.mark.parametrize("argument", ["ada", b"ada", 5, {"to": "ada"}])
def test_one_argument_in_the_place_of_all_is_refused(argument):
    registry, _ = made()

    with pytest.raises(TypeError, match=re.escape(f"as in with_args=({argument!r},)")):
        registry.assert_called("service", "send", times=0, with_args=argument)


def test_keyword_arguments_are_a_dict():
    registry, _ = made()

    with pytest.raises(TypeError, match="with_kwargs is a dict of keyword arguments; got 'urgent'"):
        registry.assert_called("service", "send", times=0, with_kwargs="urgent")


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

    with pytest.raises(UnknownResourceError, match=r"no mock 'mailer'; known: 'service'.*factory, mock=True\)"):
        registry.assert_called("mailer", "send")
    with pytest.raises(KeyError):
        registry.get_calls("mailer")


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
