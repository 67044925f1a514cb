"""Orchestrators that many tests start."""


def empty(ctx, value):
    return value


def waiting(ctx, _):
    return (yield ctx.wait_for_external_event("go"))
