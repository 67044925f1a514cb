"""The logs of invocations that somebody wants."""

import pytest

from steprig.aws.hosting.invocation_logs import TAIL_BYTES, InvocationLogs, execution_key


@pytest.fixture
def logs():
    return InvocationLogs()


@pytest.mark.parametrize("more", [0, 1, 2])
def test_the_tail_has_whole_characters_alone(logs, more):
    with logs.wanted("one"):
        logs.add("one", "€" * TAIL_BYTES + "x" * more)
        tail = logs.tail("one")

    assert tail.decode() == "€" * ((TAIL_BYTES - more) // 3) + "x" * more


def test_nothing_is_kept_of_what_nobody_wants(logs):
    assert logs.open("one", "id", "$LATEST") is None

    logs.add("one", "text")

    with logs.wanted("one"):
        assert logs.tail("one") == b""


def test_all_who_want_a_log_have_it_until_the_last_of_them_has_gone(logs):
    with logs.wanted("one"):
        with logs.wanted("one"):
            logs.add("one", "text")
        assert logs.tail("one") == b"text"
    assert not logs.is_wanted("one")


def test_an_invocation_that_goes_on_has_no_end_yet(logs):
    with logs.wanted("one"):
        log = logs.open("one", "id", "7")
        log.write("so far")
        before = logs.tail("one").decode()
        log.end()
        after = logs.tail("one").decode()

    assert before == "START RequestId: id Version: 7\nso far\n"
    assert after.startswith(f"{before}END RequestId: id\nREPORT RequestId: id\tDuration: ")


def test_one_that_has_ended_is_not_given_up_afterwards(logs):
    with logs.wanted("one"):
        logs.open("one", "id", "7").end()
        logs.time_out("one", 3)

        assert "timed out" not in logs.tail("one").decode()


def test_the_time_that_a_process_took_to_begin_is_told_and_billed(logs):
    with logs.wanted("one"):
        logs.open("one", "id", "7").end(2.5)
        report = logs.tail("one").decode().splitlines()[-1]

    assert report.endswith("\tInit Duration: 2500.00 ms")
    assert int(report.split("Billed Duration: ")[1].split()[0]) >= 2500


def test_the_invocations_of_an_execution_are_found_by_what_is_known_before_it_begins():
    assert execution_key("arn:aws:lambda:r:a:function:f:1/durable-execution/name/id") == (
        "arn:aws:lambda:r:a:function:f:1/durable-execution/name"
    )
