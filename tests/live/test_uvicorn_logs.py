"""Records find the server that they come from, and the loggers are left as they were."""

import contextlib
import contextvars
import logging
import threading

import pytest

from steprig.live.uvicorn_logs import ServerLog, records_go_to

NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio")
error_log = logging.getLogger("uvicorn.error")
access_log = logging.getLogger("uvicorn.access")


def state_of_loggers():
    loggers = [logging.getLogger(name) for name in NAMES]
    return [(log.level, log.propagate, log.disabled, [*log.handlers], [*log.filters]) for log in loggers]


@contextlib.contextmanager
def another_server_at(level):
    started, done = threading.Event(), threading.Event()

    def serve():
        with records_go_to(ServerLog(level)):
            started.set()
            done.wait(5)

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(5)
    yield
    done.set()
    thread.join(5)


def test_loggers_are_as_they_were_after_the_last_server():
    before = state_of_loggers()
    with another_server_at(logging.INFO):
        with records_go_to(ServerLog(logging.WARNING)):
            assert state_of_loggers() != before
        assert state_of_loggers() != before
    assert state_of_loggers() == before


def test_each_log_has_only_its_own_records():
    first, second = ServerLog(logging.INFO), ServerLog(logging.INFO)

    def write(log, text):
        with records_go_to(log):
            both_attached.wait(5)
            error_log.info(text)
            both_written.wait(5)

    both_attached, both_written = threading.Barrier(2), threading.Barrier(2)
    threads = [threading.Thread(target=write, args=(log, t)) for log, t in [(first, "one"), (second, "two")]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert list(first.buffer.read()) == ["INFO     one"]
    assert list(second.buffer.read()) == ["INFO     two"]


def test_a_record_in_an_empty_context_still_finds_its_server():
    log = ServerLog(logging.INFO)
    with records_go_to(log):
        contextvars.Context().run(error_log.info, "reset")

    assert "reset" in log.buffer.read()


def test_a_record_below_the_servers_level_is_not_made_even_if_another_server_wants_it(caplog):
    quiet = ServerLog(logging.WARNING)
    with another_server_at(logging.DEBUG), records_go_to(quiet):
        error_log.info("chatter")

    assert not quiet.buffer.read()
    assert caplog.messages == []


def test_access_lines_are_left_out_on_request():
    log = ServerLog(logging.INFO, access=False)
    with records_go_to(log):
        access_log.info("GET /")
        error_log.info("started")

    assert list(log.buffer.read()) == ["INFO     started"]


def test_foreign_records_pass_as_if_no_server_ran(caplog):
    with records_go_to(ServerLog(logging.DEBUG)):
        stranger = threading.Thread(target=lambda: (error_log.info("no"), error_log.warning("yes")))
        stranger.start()
        stranger.join(5)

    assert caplog.messages == ["yes"]


def test_caplog_hears_errors_though_someone_has_turned_propagation_off(caplog):
    uvicorn_log = logging.getLogger("uvicorn")
    uvicorn_log.propagate, error_log.disabled = False, True
    try:
        with records_go_to(ServerLog(logging.WARNING)):
            error_log.error("boom")
        assert caplog.messages == ["boom"]
        assert (uvicorn_log.propagate, error_log.disabled) == (False, True)
    finally:
        uvicorn_log.propagate, error_log.disabled = True, False


def test_without_any_logging_configured_errors_still_reach_stderr(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with records_go_to(ServerLog(logging.INFO)):
        error_log.info("chatter")
        error_log.error("boom")

    assert capsys.readouterr().err == "boom\n"


@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
def test_a_traceback_is_part_of_the_log(level):
    log = ServerLog(level)
    with records_go_to(log):
        try:
            raise RuntimeError("deep down")
        except RuntimeError:
            error_log.exception("failed")

    assert "RuntimeError: deep down" in log.buffer.read()
