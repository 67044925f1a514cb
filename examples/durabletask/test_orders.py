"""An order that is charged, waits for its approval, and is reminded of after a week: in milliseconds."""

from datetime import timedelta

import pytest
from durabletask import task


def charge(_: task.ActivityContext, order):
    if order["cents"] <= 0:
        raise ValueError(f"{order['cents']} cents cannot be charged")
    return f"charged {order['cents']} cents"


def remind(_: task.ActivityContext, order):
    return f"reminded {order['customer']}"


def fulfil(ctx: task.OrchestrationContext, order):
    done = []
    approval, week = ctx.wait_for_external_event("approved"), ctx.create_timer(timedelta(days=7))
    if (yield task.when_any([approval, week])) is week:
        done.append((yield ctx.call_activity(remind, input=order)))
        yield approval
    retries = task.RetryPolicy(first_retry_interval=timedelta(hours=1), max_number_of_attempts=5, backoff_coefficient=2)
    done.append((yield ctx.call_activity(charge, input=order, retry_policy=retries)))
    return done


@pytest.fixture
def client(durable_task_backend):
    durable_task_backend.worker(orchestrators=[fulfil], activities=[charge, remind])
    return durable_task_backend.client()


def end_of(client, instance_id):
    return client.wait_for_orchestration_completion(instance_id, timeout=20)


def test_an_order_that_is_approved_at_once_is_charged(client):
    order = client.schedule_new_orchestration(fulfil, input={"customer": "Ada", "cents": 500})
    client.raise_orchestration_event(order, "approved")

    assert end_of(client, order).get_output() == ["charged 500 cents"]


def test_who_does_not_approve_within_a_week_is_reminded(client, durable_task_backend):
    order = client.schedule_new_orchestration(fulfil, input={"customer": "Ada", "cents": 500})
    client.wait_for_orchestration_start(order, timeout=20)
    durable_task_backend.clock.advance(days=8)
    client.raise_orchestration_event(order, "approved")

    assert end_of(client, order).get_output() == ["reminded Ada", "charged 500 cents"]


def test_what_cannot_be_charged_is_tried_for_hours_and_fails(client, durable_task_backend):
    began = durable_task_backend.clock.now()
    order = client.schedule_new_orchestration(fulfil, input={"customer": "Ada", "cents": 0})
    client.raise_orchestration_event(order, "approved")

    assert "0 cents cannot be charged" in end_of(client, order).failure_details.message
    assert durable_task_backend.clock.now() - began >= timedelta(hours=15)
