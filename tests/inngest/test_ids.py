"""Ids: ULIDs compared with python-ulid, seeds with the protocol's worked example."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from steprig.inngest.ids import app_uuid, function_uuid, new_ulid, seeded_event_id, ulid_at

MILLIS = st.integers(0, 2**48 - 1)
TEN_BYTES = st.binary(min_size=10, max_size=10)
SEED = "1743130137367," + b64encode(bytes(range(10))).decode()


@given(MILLIS, TEN_BYTES)
def test_a_ulid_reads_back_as_its_time_and_randomness(millis: int, randomness: bytes) -> None:
    assert ULID.from_str(ulid_at(millis, randomness)).bytes == millis.to_bytes(6, "big") + randomness


@given(MILLIS, MILLIS, TEN_BYTES, TEN_BYTES)
def test_ulids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    assert (ulid_at(first, one) < ulid_at(second, other)) == ((first, one) < (second, other))


@pytest.mark.parametrize("millis", [-1, 2**48])
def test_a_ulid_has_no_time_out_of_range(millis: int) -> None:
    with pytest.raises(ValueError, match=str(millis)):
        ulid_at(millis, bytes(10))


@pytest.mark.parametrize("size", [0, 9, 11])
def test_a_ulid_needs_ten_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"10 bytes, not {size}"):
        ulid_at(0, bytes(size))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_a_new_ulid_carries_the_whole_milliseconds_of_its_time(now: datetime) -> None:
    millis = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert ULID.from_str(new_ulid(now)).milliseconds == millis


def test_new_ulids_of_one_moment_differ() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({new_ulid(now) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(("index", "expected"), [(1, "01JQDAE4RQ000G40R40M30E20A"), (2, "01JQDAE4RQ000G40R40M30E20B")])
def test_a_seed_gives_the_ids_of_the_protocols_example(index: int, expected: str) -> None:
    assert seeded_event_id(SEED, index) == expected


def test_a_seeds_counter_wraps_within_its_four_bytes() -> None:
    full = "5," + b64encode(bytes(6) + b"\xff" * 4).decode()
    assert seeded_event_id(full, 1) == ulid_at(5, bytes(10))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "1743130137367",
        "1743130137367,",
        "," + SEED.partition(",")[2],
        "-1," + SEED.partition(",")[2],
        "1.5," + SEED.partition(",")[2],
        "\u0661," + SEED.partition(",")[2],  # an Arabic digit one, which `str.isdigit` accepts
        f"{2**48}," + SEED.partition(",")[2],
        "9" * 5000 + "," + SEED.partition(",")[2],
        "1743130137367,AAECAwQFBgcI",  # nine bytes
        "1743130137367,AAECAwQFBgcICQo=",  # eleven bytes
        "1743130137367,not base64!",
        "1743130137367,AAEC!AwQFBgcICQ==",  # ten bytes, were the stray character skipped
        "1743130137367,é",
    ],
)
def test_a_malformed_seed_is_ignored(header: str) -> None:
    assert seeded_event_id(header, 1) is None


def test_uuids_depend_on_the_name_and_on_what_it_names() -> None:
    ids = {app_uuid("a"), app_uuid("b"), function_uuid("a"), function_uuid("b")}
    assert len(ids) == 4
    assert {uuid.version for uuid in ids} == {5}


def test_uuids_stay_the_same_for_ever() -> None:
    assert str(app_uuid("shop")) == "403fc4b2-15bd-573b-85f3-2ce270368418"
    assert str(function_uuid("shop-order")) == "edbf168e-5aa9-54fc-a1a9-2e28e7d600e3"
