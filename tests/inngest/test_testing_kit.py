"""The parts that tests of Inngest functions are made of."""

import asyncio
import enum
import threading
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from werkzeug.datastructures import Headers

from steprig.inngest import (
    BaseState,
    Case,
    SignatureError,
    WaitTimeoutError,
    create_event_name,
    create_fn_id,
    create_test_name,
    sign_request,
    signing,
    validate_response_sig,
    wait_for,
    wait_for_sync,
)

pytestmark = pytest.mark.anyio

KEY = "signkey-test-" + "ab" * 32


@pytest.fixture
def anyio_backend():
    return "asyncio"


# --- Case ---------------------------------------------------------------------------------------------


def test_a_case_is_not_changed_once_it_is_made():
    case = Case(fn=[], name="x", run_test=print)

    with pytest.raises(FrozenInstanceError):
        case.name = "y"


@pytest.mark.parametrize("fn", [("a", "b"), ["a", "b"]])
def test_several_functions_of_a_case(fn):
    assert Case(fn=fn, name="x", run_test=print).functions == ["a", "b"]


def test_one_function_of_a_case():
    fn = object()

    assert Case(fn=fn, name="x", run_test=print).functions == [fn]


# --- BaseState ----------------------------------------------------------------------------------------


async def test_a_run_id_that_is_there_is_given_at_once():
    state = BaseState()
    state.run_id = "R1"

    assert await state.wait_for_run_id(timeout=0) == "R1"
    assert state.wait_for_run_id_sync(timeout=0) == "R1"


async def test_a_run_id_comes_from_another_thread():
    state = BaseState()
    waiting = [asyncio.create_task(state.wait_for_run_id()) for _ in range(3)]
    await asyncio.sleep(0)

    await asyncio.to_thread(setattr, state, "run_id", "R1")

    assert await asyncio.gather(*waiting) == ["R1"] * 3


def test_a_thread_waits_for_a_run_id():
    state, found = BaseState(), []
    thread = threading.Thread(target=lambda: found.append(state.wait_for_run_id_sync()))
    thread.start()
    state.run_id = "R1"
    thread.join(5)

    assert found == ["R1"]


async def test_without_a_run_id_the_error_says_what_the_function_has_to_do():
    state = BaseState()

    with pytest.raises(WaitTimeoutError, match=r"set `run_id` within 0\.01 s; .*state\.run_id = ctx\.run_id"):
        await state.wait_for_run_id(timeout=0.01)
    with pytest.raises(WaitTimeoutError, match=r"within 0\.01 s"):
        state.wait_for_run_id_sync(timeout=0.01)
    state.run_id = "R1"  # nobody waits any more


def test_a_run_id_may_be_set_after_the_loop_that_waited_is_closed():
    state = BaseState()

    async def give_up():
        with pytest.raises(WaitTimeoutError):
            await state.wait_for_run_id(timeout=0)

    asyncio.run(give_up())
    state.run_id = "R1"
    assert state.run_id == "R1"


async def test_a_state_is_used_again():
    state = BaseState()
    state.run_id = "R1"
    state.run_id = None

    with pytest.raises(WaitTimeoutError):
        await state.wait_for_run_id(timeout=0.01)
    state.run_id = "R2"
    assert await state.wait_for_run_id() == "R2"


async def test_a_subclass_may_have_an_init_of_its_own():
    class State(BaseState):
        def __init__(self, start):
            self.counter = start

    state = State(3)
    state.run_id = "R1"

    assert (state.counter, await state.wait_for_run_id()) == (3, "R1")


async def test_a_subclass_may_be_a_dataclass():
    @dataclass
    class State(BaseState):
        seen: list[str] = field(default_factory=list)

    one, two = State(), State(seen=["x"])
    one.run_id = "R1"

    assert (one.seen, one.run_id, two.seen, two.run_id) == ([], "R1", ["x"], None)


# --- Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/a/wait_for_event.py", "wait_for_event"),
        ("/a/test_wait_for_event.py", "wait_for_event"),
        ("/a/wait_for_event_test.py", "wait_for_event"),
        ("/a/cases/invoke/__init__.py", "invoke"),
        ("testing.py", "testing"),
    ],
)
def test_a_test_is_named_after_its_file(file, name):
    assert create_test_name(file) == name


class Framework(enum.Enum):
    FAST_API = "fast_api"


@pytest.mark.parametrize("framework", ["fast_api", Framework.FAST_API])
def test_an_event_is_named_after_framework_and_test(framework):
    assert create_event_name(framework, "invoke") == "fast_api/invoke"


@pytest.mark.parametrize(("framework", "name"), [("inngest", "x"), ("Inngest", "x"), ("", "x"), ("x", "")])
def test_an_event_name_that_no_server_takes_is_refused(framework, name):
    with pytest.raises(ValueError, match=f"no event can be named {framework}/{name}"):
        create_event_name(framework, name)


@pytest.mark.parametrize(
    ("name", "fn_id"),
    [("wait_for_event", "wait-for-event"), ("Two Steps!", "two-steps"), ("v1.2", "v1-2"), ("__x__", "x")],
)
def test_a_function_is_named_after_its_test(name, fn_id):
    assert create_fn_id(name) == fn_id


def test_a_function_id_cannot_be_made_of_nothing():
    with pytest.raises(ValueError, match="no function id can be made of the test name '--'"):
        create_fn_id("--")


# --- wait_for -----------------------------------------------------------------------------------------


class Counter:
    """An assertion that holds at the third try."""

    def __init__(self):
        self.tries = 0

    def __call__(self):
        self.tries += 1
        assert self.tries >= 3, f"only {self.tries}"
        return "held"

    async def in_async(self):
        await asyncio.sleep(0)
        return self()


async def test_an_assertion_is_repeated_until_it_holds():
    assert await wait_for(Counter(), interval=0.001) == "held"
    assert await wait_for(Counter().in_async, interval=0.001) == "held"
    assert wait_for_sync(Counter(), interval=0.001) == "held"


async def test_an_assertion_that_holds_is_tried_once_even_without_time():
    assert await wait_for(lambda: 7, timeout=0) == 7
    assert wait_for_sync(lambda: 7, timeout=0) == 7


def never():
    assert [1] == [2], "not yet"


async def never_in_async():
    never()


@pytest.mark.parametrize("assertion", [never, never_in_async])
async def test_at_the_end_the_last_failure_is_raised_as_it_is(assertion):
    with pytest.raises(AssertionError, match="not yet") as caught:
        await wait_for(assertion, timeout=0.02, interval=0.001)

    (note,) = caught.value.__notes__
    assert note.startswith("still so after 0.02 s and ")
    assert int(note.split()[-2]) > 1


def test_at_the_end_the_last_failure_is_raised_to_sync_tests_too():
    with pytest.raises(AssertionError, match="not yet") as caught:
        wait_for_sync(never, timeout=0.02, interval=0.001)
    assert "still so after 0.02 s" in caught.value.__notes__[0]


async def test_an_assertion_that_hangs_is_cancelled():
    with pytest.raises(AssertionError, match="the assertion did not come to an end"):
        await wait_for(asyncio.Event().wait, timeout=0.02)


async def test_any_other_error_comes_through_at_once():
    def broken():
        raise KeyError("x")

    with pytest.raises(KeyError):
        await wait_for(broken)
    with pytest.raises(KeyError):
        wait_for_sync(broken)


# --- Signatures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"b":1,"a":2}', '{"b":1,"a":2}', b""])
def test_a_request_is_signed_for_now(body):
    header = sign_request(body, KEY)

    raw = body.encode() if isinstance(body, str) else body
    now = datetime.now(UTC)
    signing.verify_signature(header, raw, KEY, now=now, max_age=timedelta(seconds=5))
    with pytest.raises(SignatureError):
        signing.verify_signature(header, raw + b" []", KEY, now=now, max_age=None)


def signed(body, *, age=timedelta()):
    at = int((datetime.now(UTC) - age).timestamp())
    return {"X-Inngest-Signature": signing.sign_response(body, KEY, at)}


@pytest.mark.parametrize("kind", [dict, httpx.Headers, Headers, lambda headers: list(headers.items())])
def test_the_headers_of_every_client_are_taken(kind):
    validate_response_sig(kind(signed(b"body")), b"body", KEY)


def test_a_response_that_was_changed_is_refused():
    with pytest.raises(SignatureError, match="does not match"):
        validate_response_sig(signed(b"body"), b"other", KEY)
    with pytest.raises(SignatureError, match="missing"):
        validate_response_sig({}, b"body", KEY)


def test_an_old_response_is_refused_unless_any_age_will_do():
    headers = signed(b"body", age=timedelta(minutes=6))

    with pytest.raises(SignatureError, match="expired"):
        validate_response_sig(headers, b"body", KEY)
    validate_response_sig(headers, "body", KEY, max_age=None)
