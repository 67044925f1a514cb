"""Apps that send a call elsewhere: it is followed as the dev server follows it."""

import json

import pytest

from .hostile import Endpoint, begin, head, register, whole
from .stage import output

UNREACHABLE = {"error": {"error": "Unable to reach SDK URL", "name": "Error", "message": "Unable to reach SDK URL"}}


class Redirecting:
    """Answers at `/sdk` with a redirect to `location`, and elsewhere with the run's result."""

    def __init__(self, stage, status, location="/moved"):
        self.stage = stage
        self.endpoint = Endpoint(self.answer)
        self.redirect = head(status, f"location: {location}", "content-length: 0", "connection: close")

    def answer(self, connection, request):
        first = request.split()[1].startswith(b"/sdk?")
        self.endpoint.write(connection, self.redirect if first else whole(200, b'"here"'))

    def run(self, retries=0):
        with self.endpoint:
            run_id = begin(self.stage, register(self.stage, self.endpoint.url, retries=retries))
            return self.stage.ended(run_id)

    def lines(self):
        return [request.partition(b"\r\n")[0].decode() for request in self.endpoint.requests]

    def headers(self, index):
        lines = self.endpoint.requests[index].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def body(self, index):
        return json.loads(self.endpoint.requests[index].partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("status", [307, 308])
def test_a_call_that_is_redirected_is_made_again_there(one_stage, status):
    app = Redirecting(one_stage, status)

    assert output(app.run()) == "here"
    slug = f"{one_stage.app_id}-fn-fn"
    assert app.lines() == [f"POST /{path}?fnId={slug}&stepId=step HTTP/1.1" for path in ("sdk", "moved")]
    assert app.body(0) == app.body(1)
    assert app.headers(0) == app.headers(1)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_call_that_is_redirected_by_other_statuses_becomes_a_get_with_the_same_body(one_stage, status):
    app = Redirecting(one_stage, status)

    assert output(app.run()) == "here"
    assert [line.split()[0] for line in app.lines()] == ["POST", "GET"]
    assert app.body(0) == app.body(1)


def test_a_location_keeps_its_query_and_gets_that_of_the_call(one_stage):
    app = Redirecting(one_stage, 307, "/moved?tenant=a&fnId=other")
    app.run()

    assert app.lines()[1] == f"POST /moved?tenant=a&fnId={one_stage.app_id}-fn-fn&stepId=step HTTP/1.1"


def test_a_redirect_leads_to_another_server(one_stage):
    elsewhere = Endpoint(lambda connection, request: elsewhere.write(connection, whole(200, b'"there"')))
    with elsewhere:
        assert output(Redirecting(one_stage, 308, elsewhere.url).run()) == "there"


@pytest.mark.parametrize("status", [302, 307])
def test_redirects_that_never_end_fail_the_attempt_after_sixty(one_stage, status):
    app = Redirecting(one_stage, status, "/sdk")
    run = app.run()

    assert run.status == "failed"
    assert run.failure.message.startswith('error performing request: Post "http://127.0.0.1:')
    assert run.failure.message.endswith('": stopped after 60 redirects')
    assert len(app.endpoint.requests) == 61


def test_redirects_that_never_end_are_tried_again(one_stage):
    app = Redirecting(one_stage, 307, "/sdk")
    app.run(retries=1)

    assert len(app.endpoint.requests) == 2 * 61


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/sdk", "http://[::1", "http://no-such-host.invalid/"])
def test_a_redirect_that_leads_nowhere(one_stage, location):
    assert output(Redirecting(one_stage, 307, location).run()) == UNREACHABLE


@pytest.mark.parametrize("status", [300, 304, 305, 306])
def test_other_statuses_of_that_family_are_errors(one_stage, status):
    run = Redirecting(one_stage, status).run()

    assert run.status == "failed"


def test_a_redirect_without_a_location_is_an_error_of_the_function(one_stage):
    with Endpoint(lambda connection, _: connection.sendall(whole(302, b'{"name":"E","message":"m"}'))) as app:
        run = one_stage.ended(begin(one_stage, register(one_stage, app.url)))

    assert output(run) == {"name": "E", "message": "m"}
