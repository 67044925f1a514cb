"""The time in which a signing key is replaced: servers and apps that know the old one and the new one."""

import pytest

from steprig.inngest.dev_server import DevServer
from steprig.inngest.syncing import SyncError
from steprig.kernel import VirtualClock

from .stacks import STACKS
from .stage import Stage, output

OLD, NEW, OTHER = "signkey-test-12345678", "signkey-test-87654321", "signkey-test-deadbeef"


@pytest.fixture
def make_stage(monkeypatch):
    """A stage whose app has a key, and maybe a fallback."""
    stages = []

    def make(dev, key, fallback=None, **options):
        if fallback:
            monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", fallback)
        stage = Stage(STACKS[0], dev, signing_key=key, event_key="key", **options)

        @stage.function("signed")
        def signed(ctx):
            return (yield ctx.step.run("step", lambda: "ran"))

        stages.append(stage)
        return stage

    yield make
    for stage in stages:
        stage.close()


@pytest.fixture
def rotating():
    with VirtualClock() as clock, DevServer(clock=clock, signing_key=OLD, signing_key_fallback=NEW) as server:
        yield server


@pytest.mark.parametrize("key", [OLD, NEW])
def test_apps_with_either_key_register_and_run(rotating, make_stage, key):
    assert output(make_stage(rotating, key).run("signed")) == "ran"


def test_apps_with_neither_key_are_refused(rotating, make_stage):
    with pytest.raises(SyncError, match="the signing key is missing or wrong"):
        make_stage(rotating, OTHER).serve()


@pytest.mark.parametrize(("key", "fallback"), [(OLD, NEW), (NEW, OLD)])
def test_an_app_in_production_mode_accepts_calls_that_are_signed_with_either_of_its_keys(make_stage, key, fallback):
    with VirtualClock() as clock, DevServer(clock=clock, kind="cloud", signing_key=OLD) as server:
        stage = make_stage(server, key, fallback, is_production=True)

        assert output(stage.run("signed")) == "ran"


def test_large_states_are_fetched_with_the_fallback(rotating, make_stage):
    stage = make_stage(rotating, NEW)

    @stage.function("large")
    def large(ctx):
        total = 0
        for number in range(5):
            total += len((yield ctx.step.run(f"part {number}", lambda: "x" * (1 << 20))))
        return total

    assert output(stage.run("large")) == 5 << 20
