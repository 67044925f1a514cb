"""Durations, times and retry delays, row by row."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inngest._internal.transforms import to_duration_str, to_iso_utc

from steprig.inngest.durations import (
    DurationError,
    backoff,
    format_duration,
    parse_batch_duration,
    parse_duration,
    parse_retry_after,
    parse_time,
    parse_time_or_duration,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta()),
        ("0s", timedelta()),
        ("1500ns", timedelta(microseconds=1)),
        ("3us", timedelta(microseconds=3)),
        ("3µs", timedelta(microseconds=3)),
        ("3μs", timedelta(microseconds=3)),
        ("250ms", timedelta(milliseconds=250)),
        ("1s", SECOND),
        ("2m", timedelta(minutes=2)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1m1ms", timedelta(minutes=1, milliseconds=1)),
        ("1.5h", timedelta(minutes=90)),
        ("1.s", SECOND),
        (".5s", timedelta(milliseconds=500)),
        ("-2m", timedelta(minutes=-2)),
        ("+2m", timedelta(minutes=2)),
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
        ("1w2d3h", timedelta(days=9, hours=3)),
        ("0.1s", timedelta(milliseconds=100)),
        ("-1.9us", timedelta(microseconds=-1)),
    ],
)
def test_a_duration_is_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "5", "s", "1", "-", "1 s", " 1s", "1s ", "1y", "1S", "1h-2m", "1..5s", ".s", "1e3s", "1hm", "\u0661s"],
)
def test_what_is_no_duration_is_named_with_what_was_expected(text: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)
    assert "expected numbers with units ns, us, ms, s, m, h, d, w" in str(caught.value)


def test_a_duration_longer_than_python_can_hold_is_refused() -> None:
    with pytest.raises(DurationError, match="a billion days"):
        parse_duration("1000000000000w")


@pytest.mark.parametrize("text", ["1d", "1w", "1d2h"])
def test_a_batch_timeout_has_no_days_and_weeks(text: str) -> None:
    with pytest.raises(DurationError, match="expected numbers with units ns, us, ms, s, m, h, such as"):
        parse_batch_duration(text)


def test_a_batch_timeout_has_the_other_units() -> None:
    assert parse_batch_duration("24h") == timedelta(days=1)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(), "0s"),
        (SECOND, "1s"),
        (timedelta(seconds=60), "1m"),
        (timedelta(seconds=90), "90s"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=10), "10d"),
        (timedelta(days=14), "2w"),
        (timedelta(milliseconds=1500), "1500ms"),
        (timedelta(microseconds=1), "1us"),
        (timedelta(seconds=-90), "-90s"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration: timedelta, expected: str) -> None:
    assert format_duration(duration) == expected


@given(st.timedeltas())
def test_a_duration_survives_writing_and_reading(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(1, 10**9))
def test_a_duration_is_written_as_the_sdk_writes_it(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert format_duration(duration) == to_duration_str(duration)


@given(st.text(alphabet="0123456789.-+nusmhdwµ "))
def test_any_text_is_a_duration_or_a_duration_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except DurationError as error:
        assert repr(text) in str(error)  # noqa: PT017 -- either outcome is fine, a third is not
    else:
        assert isinstance(duration, timedelta)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", NOW.replace(microsecond=0)),
        ("2026-01-02T03:04:05z", NOW.replace(microsecond=0)),
        ("2026-01-02T03:04:05.6Z", NOW),
        ("2026-01-02T03:04:05.600Z", NOW),
        ("2026-01-02T03:04:05.600000Z", NOW),
        ("2026-01-02T03:04:05.600000999Z", NOW),
        ("2026-01-02T03:04:05.654321Z", NOW.replace(microsecond=654_321)),
        ("2026-01-02T05:04:05.600+02:00", NOW),
        ("2026-01-01T21:34:05.600-05:30", NOW),
        ("Fri, 02 Jan 2026 03:04:05 GMT", NOW.replace(microsecond=0)),
        ("Fri, 02 Jan 2026 05:04:05 +0200", NOW.replace(microsecond=0)),
        ("Fri, 02 Jan 2026 03:04:05 -0000", NOW.replace(microsecond=0)),
    ],
)
def test_a_time_is_read_in_utc(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected
    assert parse_time(text).utcoffset() == timedelta()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-13-02T03:04:05Z",
        "2026-01-02T25:04:05Z",
        "2026-01-02T03:04:05.Z",
        "0001-01-01T00:00:00+14:00",
        "Fri, 32 Jan 2026 03:04:05 GMT",
    ],
)
def test_what_is_no_time_is_named_with_what_was_expected(text: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_time(text)
    assert repr(text) in str(caught.value)
    assert "RFC 3339" in str(caught.value)


@given(st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_an_http_date_is_read_back(moment: datetime) -> None:
    assert parse_time(format_datetime(moment, usegmt=True)) == moment.replace(microsecond=0)


@pytest.mark.parametrize("text", ["2026-01-02T04:04:05.600Z", "1h", "60m"])
def test_an_option_is_a_time_or_a_duration_from_now(text: str) -> None:
    assert parse_time_or_duration(text, NOW) == NOW + timedelta(hours=1)


def test_an_option_that_is_neither_is_named() -> None:
    with pytest.raises(DurationError, match=r"'soon'.*a duration such as '1h30m', an RFC 3339 time or an HTTP date"):
        parse_time_or_duration("soon", NOW)


def test_an_option_must_end_within_pythons_calendar() -> None:
    with pytest.raises(DurationError, match="after the year 9999"):
        parse_time_or_duration("500000w", NOW)


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        (0, 15),
        (1, 30),
        (2, 60),
        (3, 120),
        (4, 300),
        (5, 600),
        (6, 1200),
        (7, 2400),
        (8, 3600),
        (9, 7200),
        (10, 7200),
        (19, 7200),
    ],
)
def test_backoff_follows_the_servers_table(attempt: int, seconds: int) -> None:
    assert backoff(attempt, 0) == timedelta(seconds=seconds)


@given(st.integers(0, 30), st.floats(0, 1))
def test_jitter_adds_up_to_thirty_seconds(attempt: int, jitter: float) -> None:
    assert backoff(attempt, jitter) - backoff(attempt, 0) == timedelta(seconds=30) * jitter


@pytest.mark.parametrize(("attempt", "jitter"), [(-1, 0.0), (0, -0.1), (0, 1.1), (0, float("nan"))])
def test_backoff_refuses_what_is_out_of_range(attempt: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        backoff(attempt, jitter)


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        ("1", SECOND),
        ("90", timedelta(seconds=90)),
        (" 5 ", timedelta(seconds=5)),
        ("0", SECOND),
        ("86400", timedelta(hours=24)),
        ("86401", timedelta(hours=24)),
        ("9999999", timedelta(hours=24)),
        ("2026-01-02T03:04:07.600Z", timedelta(seconds=2)),
        ("2026-01-02T05:04:07.600+02:00", timedelta(seconds=2)),
        ("Fri, 02 Jan 2026 03:04:35 GMT", timedelta(seconds=29.4)),
        ("2020-01-01T00:00:00Z", SECOND),
        ("2030-01-01T00:00:00Z", timedelta(hours=24)),
    ],
)
def test_retry_after_is_clamped_to_a_second_and_a_day(value: str, delay: timedelta) -> None:
    assert parse_retry_after(value, NOW) == NOW + delay


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "10000000", "1s", "²"])
def test_a_retry_after_that_cannot_be_read_is_none(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone(timedelta(hours=2)))))
def test_the_sdks_delay_of_one_second_takes_less_than_two(now: datetime) -> None:
    header = to_iso_utc(now + SECOND)
    again = parse_retry_after(header, now)
    assert again is not None
    assert SECOND <= again - now < 2 * SECOND
