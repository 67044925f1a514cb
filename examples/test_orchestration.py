from datetime import timedelta


def mail(ctx, name):
    return f"mail to {name}"


def remind(ctx, name):
    yield ctx.create_timer(timedelta(days=30))
    return (yield ctx.call_activity(mail, input=name))


def test_a_reminder_is_sent_after_a_month(durable_task_backend):
    durable_task_backend.worker(orchestrators=[remind], activities=[mail])
    client = durable_task_backend.client()
    reminder = client.schedule_new_orchestration(remind, input="Ada")
    assert client.wait_for_orchestration_completion(reminder, timeout=20).get_output() == "mail to Ada"
