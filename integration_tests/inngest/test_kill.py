"""A dev server that is killed with runs under way, and started again with its journal's file."""

import os
import random
import signal
import sys
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import fastapi
import httpx
import inngest
import inngest.fast_api
import pytest

from steprig.inngest.records import RUN, RunEnded, StepEnded
from steprig.kernel import SqliteJournal, Status
from steprig.live import ProcessServer, UvicornTestServer

from ..waiting import until
from .stage import PATIENCE, keep_no_connection

RUNS, BRANCHES, KILLS = 20, 10, 3

Step = tuple[str, str]
"""A run's id and a step's title."""


class Killable:
    """A dev server in a process, and its journal for as long as it is dead."""

    def __init__(self, folder: Path, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self._file = folder / "journal.db"
        script = Path(__file__).with_name("durable_server.py")
        self._command = [sys.executable, script, str(port), self._file]
        self._process = self._new()

    def start(self) -> None:
        self._process = self._new().start()

    def kill(self) -> None:
        pid = self._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self._process.stop()

    def has_completed(self, event: str) -> bool:
        (run,) = httpx.get(f"{self.origin}/v1/events/{event}/runs").raise_for_status().json()["data"]
        return bool(run["status"] == "Completed")

    def stop(self) -> None:
        self._process.stop()

    def recorded(self) -> tuple[Counter[Step], dict[str, Status]]:
        """The steps that the journal says have ended, and the runs that have."""
        journal = SqliteJournal(self._file)
        steps: Counter[Step] = Counter()
        ended: dict[str, Status] = {}
        for stream in journal.streams(RUN):
            run_id = stream.partition(":")[2]
            for record in journal.read(stream):
                match record.entry:
                    case StepEnded(title=title, op="RUN"):
                        steps[run_id, title] += 1
                    case RunEnded(status=status):
                        ended[run_id] = status
        journal.close()
        return steps, ended

    def _new(self) -> ProcessServer:
        return ProcessServer(self._command, ready_log="^ready$", startup_timeout=30)


@pytest.fixture
def server(tmp_path, free_port):
    server = Killable(tmp_path, free_port)
    server.start()
    yield server
    server.stop()


def test_every_run_ends_and_no_step_is_run_again_once_its_end_was_recorded(server):
    ran: list[Step] = []
    client = inngest.Inngest(
        app_id="durable", is_production=False, api_base_url=server.origin, event_api_base_url=server.origin
    )
    keep_no_connection(client)

    @client.create_function(fn_id="fans-out", retries=20, trigger=inngest.TriggerEvent(event="test/fan-out"))
    def fans_out(ctx: inngest.ContextSync) -> int:
        def work(name: str) -> str:
            ran.append((ctx.run_id, name))
            return name

        ctx.step.run("first", work, "first")
        ctx.step.sleep("nap", timedelta(seconds=0.1))
        ctx.group.parallel(tuple(partial(ctx.step.run, f"{n}", work, f"{n}") for n in range(BRANCHES)))
        ctx.step.run("last", work, "last")
        return BRANCHES

    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [fans_out])
    choice = random.Random(7)
    with UvicornTestServer(app) as sdk:
        httpx.put(sdk.url("/api/inngest"), timeout=PATIENCE).raise_for_status()
        events = client.send_sync([inngest.Event(name="test/fan-out") for _ in range(RUNS)])

        for kill in range(1, KILLS + 1):
            goal = kill * RUNS * (BRANCHES + 2) // (KILLS + 1) + choice.randrange(20)
            until(partial(reached, ran, goal), f"{goal} steps")
            server.kill()
            before = len(ran)
            recorded, _ = server.recorded()
            server.start()
            until(partial(reached, ran, before + 1), "a step after the kill")
            assert recorded
            assert not set(ran[before:]) & set(recorded), "steps whose end was recorded were run again"

        for event in events:
            until(partial(server.has_completed, event), "the end of a run")
        server.stop()
    recorded, ended = server.recorded()
    assert ended == dict.fromkeys(ended, Status.COMPLETED)
    assert len(ended) == RUNS
    assert set(recorded.values()) == {1}


def reached(ran, number):
    return len(ran) >= number
