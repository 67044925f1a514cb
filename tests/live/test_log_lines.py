"""A log that a test can search, print and index."""

from concurrent.futures import ThreadPoolExecutor

from steprig.live.log_lines import LogBuffer, LogLines


def test_in_looks_for_a_substring_of_the_whole_text():
    logs = LogLines(["INFO one", "ERROR two\nTraceback: boom"])

    assert "two\nTraceback" in logs
    assert "three" not in logs


def test_it_is_a_sequence_of_lines():
    logs = LogLines(["one", "two\nthree"])

    assert list(logs) == ["one", "two", "three"]
    assert (len(logs), logs[-1], logs[1:]) == (3, "three", ["two", "three"])


def test_str_is_the_text_and_an_empty_log_is_false():
    assert str(LogLines(["one", "two"])) == "one\ntwo"
    assert not LogLines([])


def test_tail_gives_the_last_lines():
    assert LogLines(["one", "two", "three"]).tail(2) == "two\nthree"


def test_a_buffer_keeps_the_end_and_a_snapshot_does_not_change():
    buffer = LogBuffer()
    for number in range(10_001):
        buffer.write(f"entry {number}.")
    snapshot = buffer.read()
    buffer.write("later")

    assert "entry 0." not in snapshot
    assert "entry 10000." in snapshot
    assert "later" not in snapshot


def test_a_buffer_gives_what_was_written_after_a_position_even_when_the_beginning_is_gone():
    buffer = LogBuffer()
    assert buffer.position == 0
    for number in range(10_500):
        buffer.write(f"entry {number}")
    position = buffer.position
    buffer.write("later")

    assert position == 10_500
    assert list(buffer.read(position)) == ["later"]
    assert not buffer.read(buffer.position)


def test_one_can_wait_for_what_a_buffer_gets():
    buffer = LogBuffer()
    buffer.write("first")
    assert buffer.wait_for_more(0, timeout=0)
    assert not buffer.wait_for_more(1, timeout=0.01)

    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(buffer.wait_for_more, 1, timeout=30) for _ in range(3)]
        buffer.write("second")
        assert all(each.result(30) for each in waiting)
