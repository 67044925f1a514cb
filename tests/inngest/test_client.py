"""`DevServerClient` against scripted answers of a server that cannot tell of changes, such as the real one."""

import json

import httpx
import pytest

from steprig.inngest import (
    DevServerClient,
    DevServerUnreachableError,
    RunStatus,
    StepError,
    StepOutput,
    UnexpectedStatusError,
    WaitTimeoutError,
    conversation,
    ended_statuses,
)

pytestmark = pytest.mark.anyio

EVENT = {"id": "1", "name": "test/e", "data": {"n": 1}, "ts": 5}
NOT_YET = {"errors": [{"message": "sql: no rows in result set"}], "data": None}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Script:
    """Gives answers in order, the last one again and again, and keeps the questions."""

    def __init__(self):
        self.answers = []
        self.questions = []

    def __call__(self, request):
        self.questions.append(json.loads(request.content or "null"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@pytest.fixture
def script(monkeypatch):
    script = Script()
    transport = httpx.MockTransport(script)
    monkeypatch.setattr(conversation, "_http_client", lambda origin: httpx.AsyncClient(transport=transport))
    return script


@pytest.fixture
def client():
    return DevServerClient("http://dev:8288/", timeout=2.0)


def run(status, output=None, trace=None):
    return {
        "data": {
            "run": {"status": status, "output": output, "trace": trace},
            "runTrigger": {"payloads": [json.dumps(EVENT)]},
        }
    }


def trace(*spans):
    return {"childrenSpans": [{"name": name, "outputID": output_id} for name, output_id in spans]}


async def test_a_run_is_asked_for_until_it_is_known_and_has_the_status(client, script):
    script.answers = [NOT_YET, run("QUEUED"), run("RUNNING"), run("COMPLETED", '"done"')]

    found = await client.wait_for_run_status("01J", RunStatus.COMPLETED)

    assert (found.result, found.events) == ("done", (EVENT,))
    assert [question["variables"] for question in script.questions] == [{"id": "01J"}] * 4


async def test_the_pauses_between_questions_grow_to_a_fifth_of_a_second(client, script, monkeypatch):
    pauses = []

    async def sleep(seconds):
        pauses.append(round(seconds, 4))

    monkeypatch.setattr(conversation.anyio, "sleep", sleep)
    script.answers = [NOT_YET] * 6 + [run("COMPLETED", "1")]
    await client.wait_for_run_status("01J", RunStatus.COMPLETED, timeout=60)

    assert pauses == [0.05, 0.075, 0.1125, 0.1688, 0.2, 0.2]


async def test_a_completed_run_is_given_time_to_show_its_output(client, script):
    """The real server is some milliseconds late with it."""
    script.answers = [run("COMPLETED"), run("COMPLETED"), run("COMPLETED", "null")]

    assert (await client.wait_for_run_status("01J", RunStatus.COMPLETED)).output == "null"


async def test_an_output_that_never_comes_does_not_fail_the_wait(client, script):
    script.answers = [run("FAILED")]

    found = await client.wait_for_run_status("01J", RunStatus.FAILED)
    assert (found.output, found.result) == (None, None)


async def test_a_cancelled_run_has_no_output_to_wait_for(client, script):
    script.answers = [run("CANCELLED")]

    assert (await client.wait_for_run_status("01J", RunStatus.CANCELLED)).output is None
    assert len(script.questions) == 1


async def test_one_of_several_statuses_is_enough(client, script):
    script.answers = [run("RUNNING"), run("CANCELLED")]

    assert (await client.wait_for_run_status("01J", ended_statuses)).status is RunStatus.CANCELLED


async def test_the_steps_are_told_of_a_run_that_ended_otherwise(client, script):
    script.answers = [run("FAILED", '{"name":"ValueError"}', trace(("a", "x"), ("b", None)))]

    with pytest.raises(
        UnexpectedStatusError,
        match=r'run 01J to be COMPLETED; it has ended: FAILED with the output \{"name":"ValueError"\}; '
        r"last seen: the run was FAILED, with the steps a, b \(no output\)",
    ):
        await client.wait_for_run_status("01J", RunStatus.COMPLETED)


async def test_a_status_that_there_is_not_is_refused(client):
    with pytest.raises(ValueError, match="'DONE' is not a valid RunStatus"):
        await client.wait_for_run_status("01J", "DONE")


async def test_an_event_without_an_answer_yet_is_asked_for_again(client, script):
    none, one = ({"data": {"event": {"functionRuns": runs}}} for runs in ([], [{"id": "R1"}]))
    script.answers = [NOT_YET, {"data": {"event": None}}, none, one]

    assert await client.get_run_ids_from_event_id("01E") == ["R1"]


async def test_a_run_that_is_listed_twice_counts_once(client, script):
    script.answers = [{"data": {"event": {"functionRuns": [{"id": "R1"}, {"id": "R2"}, {"id": "R1"}]}}}]

    assert await client.get_run_ids_from_event_id("01E", run_count=2) == ["R1", "R2"]


async def test_at_the_deadline_the_runs_so_far_are_told(client, script):
    script.answers = [{"data": {"event": {"functionRuns": [{"id": "R1"}]}}}]

    with pytest.raises(WaitTimeoutError, match=r"to start 2 run\(s\) within 0\.1 s; last seen: 1 run\(s\) R1\. Check"):
        await client.get_run_ids_from_event_id("01E", run_count=2, timeout=0.1)


async def test_a_history_is_there_once_there_is_a_trace(client, script):
    script.answers = [run("QUEUED"), run("RUNNING", trace=trace(("a", None)))]

    assert [step.name for step in await client.get_history("01J")] == ["a"]


async def test_the_output_of_the_nth_step_of_a_name(client, script):
    shown = {"data": {"runTraceSpanOutputByID": {"data": '{"n":2}', "error": None}}}
    script.answers = [run("RUNNING", trace=trace(("a", "x"), ("b", "y"), ("a", "z"))), shown]

    assert await client.get_step_output("01J", "a", occurrence=2) == StepOutput({"n": 2})
    assert script.questions[-1]["variables"] == {"id": "z"}


async def test_a_step_that_failed_without_a_stack(client, script):
    error = {"message": "no", "name": None, "stack": None}
    script.answers = [run("FAILED", trace=trace(("a", "x"))), {"data": {"runTraceSpanOutputByID": {"error": error}}}]

    output = await client.get_step_output("01J", "a")
    assert output == StepOutput(error=StepError("no"))
    assert json.loads(str(output)) == {"error": error}


async def test_an_occurrence_counts_from_one(client):
    with pytest.raises(ValueError, match="occurrence is 0; the first step of a name has 1"):
        await client.get_step_output("01J", "a", occurrence=0)


async def test_a_server_that_hangs_is_told_at_the_deadline(client, script):
    script.answers = [run("RUNNING"), httpx.ReadTimeout("")]

    with pytest.raises(WaitTimeoutError, match=r"last seen: no answer to a question \(before: it was RUNNING\)"):
        await client.wait_for_run_status("01J", RunStatus.COMPLETED)


async def test_a_steprig_server_too_busy_to_answer_in_time_has_not_gone_away(client, script):
    running = httpx.Response(200, json=run("RUNNING"), headers={"x-steprig": "1"})
    script.answers = [running, httpx.ReadTimeout(""), running]

    with pytest.raises(WaitTimeoutError, match="last seen: it was RUNNING"):
        await client.wait_for_run_status("01J", RunStatus.COMPLETED, timeout=0.05)


async def test_a_steprig_server_that_breaks_off_is_told_at_once(client, script):
    running = httpx.Response(200, json=run("RUNNING"), headers={"x-steprig": "1"})
    script.answers = [running, httpx.RemoteProtocolError("cut")]

    with pytest.raises(DevServerUnreachableError, match="it went away while run 01J to be COMPLETED was awaited"):
        await client.wait_for_run_status("01J", RunStatus.COMPLETED)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (httpx.Response(404, text="<html>not found"), "status 404, and no JSON: '<html>not found'"),
        (httpx.Response(200, json=[1]), "status 200, and no JSON"),
        (httpx.Response(422, json={"errors": [{"message": "no field run"}]}), "status 422: .*no field run"),
        (httpx.ConnectError("refused"), "ConnectError: refused"),
    ],
)
async def test_what_is_no_dev_server_is_told_at_once(client, script, answer, seen):
    script.answers = [answer]

    with pytest.raises(DevServerUnreachableError, match=f"no Inngest dev server answers at http://dev:8288: {seen}"):
        await client.get_history("01J")
    assert len(script.questions) == 1


def test_an_origin_without_a_scheme_is_refused():
    with pytest.raises(ValueError, match=r"origin is '127.0.0.1:8288'; expected a URL"):
        DevServerClient("127.0.0.1:8288")


@pytest.mark.parametrize(
    ("origin", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://0.0.0.0:1", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("https://inngest.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_a_proxy_of_the_environment_is_for_other_machines(monkeypatch, origin, local):
    asked = {}
    monkeypatch.setattr(conversation.httpx, "AsyncClient", lambda **options: asked.update(options))
    conversation._http_client(origin)

    assert asked["trust_env"] is not local
