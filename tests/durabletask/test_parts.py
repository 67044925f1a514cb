"""The parts of a backend, each alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprig.durabletask.entity_ids import folded_prefix, parse
from steprig.durabletask.filters import Filters, Kind
from steprig.durabletask.paging import Key, key_in, page, token_of
from steprig.durabletask.pb import Timestamp, pb
from steprig.durabletask.problems import RefusedError
from steprig.durabletask.service import snake_case
from steprig.durabletask.wire import NEW, PAST, events_in, framed, moment, timestamp, varint

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def test_times_survive_the_wire():
    assert moment(timestamp(AT)) == AT


def test_a_time_is_rounded_up_so_that_no_timer_is_early():
    assert moment(Timestamp(seconds=1, nanos=1)) == datetime(1970, 1, 1, 0, 0, 1, 1, UTC)


@given(st.integers(0, 2**31))
def test_lengths_are_written_as_protobuf_does(number):
    message = pb.PurgeInstancesResponse(deletedInstanceCount=number if number < 2**31 else 1)
    expected = message.SerializeToString()[1:] if 0 < number < 2**31 else varint(number)
    assert varint(number) == expected


def test_framed_events_are_those_of_a_request():
    events = [pb.HistoryEvent(eventId=n, eventRaised=pb.EventRaisedEvent(name="x" * n)) for n in (1, 200, 70_000)]
    encoded = [event.SerializeToString() for event in events]
    assert list(events_in(framed(PAST, encoded))) == events
    assert list(pb.OrchestratorRequest.FromString(framed(NEW, encoded)).newEvents) == events


@pytest.mark.parametrize(
    ("entity_id", "parsed"),
    [
        ("@Name@Key", "@name@Key"),
        ("@a@", "@a@"),
        ("a@b", None),
        ("@a", None),
        ("@@b", None),
        ("@a@b@c", None),
        ("", None),
    ],
)
def test_entity_ids(entity_id, parsed):
    assert parse(entity_id) == parsed


def test_a_prefix_is_folded_up_to_the_key():
    assert [folded_prefix(one) for one in ("@Na", "@Name@Ke", "", "x")] == ["@na", "@name@Ke", "", "x"]


def filters(**kinds):
    return Filters(pb.GetWorkItemsRequest(workItemFilters=pb.WorkItemFilters(**kinds)))


def test_without_filters_everything_is_taken():
    assert Filters(pb.GetWorkItemsRequest()).accept(Kind.ENTITY, "any", None)


def test_empty_filters_take_nothing():
    assert not any(filters().accept(kind, "any", None) for kind in Kind)


def test_versions_are_united_and_no_version_means_any():
    one = pb.OrchestrationFilter
    some = filters(orchestrations=[one(name="a", versions=["1"]), one(name="a", versions=["2"]), one(name="b")])
    assert [some.accept(Kind.ORCHESTRATION, "a", version) for version in ("1", "2", "3", None)] == [
        True,
        True,
        False,
        False,
    ]
    assert some.accept(Kind.ORCHESTRATION, "b", "9")
    any_version = filters(orchestrations=[one(name="a"), one(name="a", versions=["2"])])
    assert any_version.accept(Kind.ORCHESTRATION, "a", "3")


def test_an_activity_without_a_version_is_taken_by_its_name():
    some = filters(activities=[pb.ActivityFilter(name="a", versions=["1"])])
    assert some.accept(Kind.ACTIVITY, "a", None)
    assert not some.accept(Kind.ACTIVITY, "a", "2")


def test_names_of_entities_are_case_folded():
    assert filters(entities=[pb.EntityFilter(name="Counter")]).accept(Kind.ENTITY, "counter", None)


@given(st.sets(st.tuples(st.integers(0, 5), st.text("ab|", max_size=3))), st.integers(1, 4))
def test_pages_hold_each_row_once_in_order(rows, size):
    keys = [Key(AT + timedelta(seconds=at), ident) for at, ident in rows]
    found, token = page(keys, lambda key: key, None, size)
    while token is not None:
        more, token = page(keys, lambda key: key, token, size)
        found += more
    assert found == sorted(keys)


@pytest.mark.parametrize("token", ["x", "2026-01-01|a", "|", "12|3"])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(RefusedError):
        key_in(token)


def test_a_token_survives_whatever_the_id():
    assert key_in(token_of(Key(AT, "a|b"))) == Key(AT, "a|b")


def test_every_call_of_the_protocol_has_one_that_answers_it():
    from steprig.durabletask.rpc_entities import EntityRpcs
    from steprig.durabletask.rpc_instances import InstanceRpcs
    from steprig.durabletask.rpc_listings import ListingRpcs
    from steprig.durabletask.rpc_workers import WorkerRpcs
    from steprig.durabletask.service import HubRpcs

    groups = (HubRpcs, EntityRpcs, InstanceRpcs, ListingRpcs, WorkerRpcs)
    names = [method.name for method in pb.DESCRIPTOR.services_by_name["TaskHubSidecarService"].methods]
    assert len(names) == 29
    for name in names:
        answering = [group for group in groups if hasattr(group, snake_case(name))]
        assert len(answering) == (0 if name == "GetWorkItems" else 1), name
