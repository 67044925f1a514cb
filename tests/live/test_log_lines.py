"""A log that a test can search, print and index."""

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
