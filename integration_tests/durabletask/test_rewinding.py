"""Orchestrations that clients have run once more: from the beginning, or from where they failed."""

import threading
from collections import defaultdict

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from ..waiting import until
from .orchestrators import empty, waiting
from .stage import refused, unique

_BROKEN = {}
_RUNS = []


def do_break(_, key):
    if _BROKEN.get(key):
        raise ValueError(f"{key} is broken")
    return f"{key} is whole"


def do_count(_, key):
    _RUNS.append(key)
    return key


def fragile(ctx, key):
    before = yield ctx.call_activity(do_count, input=key)
    return [before, (yield ctx.call_activity(do_break, input=key))]


def fragile_parent(ctx, key):
    before = yield ctx.call_activity(do_count, input=f"{key}-parent")
    return [before, (yield ctx.call_sub_orchestrator(fragile, input=key, instance_id=f"{key}-child"))]


_GATES = defaultdict(threading.Event)


def do_break_late(_, key):
    assert _GATES[key].wait(60)
    return do_break(_, key)


def twice_fragile(ctx, key):
    late = ctx.call_activity(do_break_late, input=key)
    return [(yield ctx.call_activity(do_break, input=key)), (yield late)]


FUNCTIONS = [empty, waiting, do_break, do_count, fragile, fragile_parent, do_break_late, twice_fragile]


def test_a_restart_runs_again_with_the_first_input(shared):
    instance_id = unique("restart")
    shared.run(empty, 5, instance_id=instance_id, tags={"k": "v"}, version="2.0")
    first = shared.stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id)).orchestrationState
    assert shared.client.restart_orchestration(instance_id) == instance_id
    assert shared.wait(instance_id).get_output() == 5
    again = shared.stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id)).orchestrationState
    assert (again.version.value, dict(again.tags)) == ("2.0", {"k": "v"})
    assert again.executionId.value != first.executionId.value
    other = shared.client.restart_orchestration(instance_id, restart_with_new_instance_id=True)
    assert other != instance_id
    assert shared.wait(other).get_output() == 5


def test_what_goes_on_cannot_be_restarted_or_rewound(shared):
    instance_id = shared.schedule(waiting)
    for call in (shared.client.restart_orchestration, shared.client.rewind_orchestration):
        code, message = refused(call, instance_id)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert instance_id in message
    shared.client.terminate_orchestration(instance_id)


def test_a_rewound_orchestration_runs_again_only_what_has_failed(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    assert shared.run(fragile, key, instance_id=key).runtime_status.name == "FAILED"
    shared.client.rewind_orchestration(key, reason="try again")
    assert shared.wait(key).runtime_status.name == "FAILED"
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [key, f"{key} is whole"]
    assert _RUNS.count(key) == 1


def test_a_rewind_goes_down_to_the_child_that_has_failed(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    assert shared.run(fragile_parent, key, instance_id=key).runtime_status.name == "FAILED"
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [f"{key}-parent", [key, f"{key} is whole"]]
    assert (_RUNS.count(key), _RUNS.count(f"{key}-parent")) == (1, 1)


def test_a_rewind_begins_a_child_anew_that_was_purged(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    shared.run(fragile_parent, key, instance_id=key)
    shared.client.purge_orchestration(f"{key}-child")
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [f"{key}-parent", [key, f"{key} is whole"]]
    assert _RUNS.count(key) == 2


def test_what_fails_after_its_orchestration_has_is_run_again_too(shared):
    key = unique("rewind")
    _BROKEN[key] = True
    assert shared.run(twice_fragile, key, instance_id=key).runtime_status.name == "FAILED"
    _GATES[key].set()
    until(lambda: not shared.clock.in_flight, "the end of the other activity")
    _BROKEN[key] = False
    shared.client.rewind_orchestration(key)
    assert shared.wait(key).get_output() == [f"{key} is whole"] * 2
