"""What the embedded Durable Task backend costs, beside the SDK's own in-memory one.

Each backend runs in a process of its own, and the same SDK worker and client talk to either in turn; then each runs in
one process with its worker and client, as in most test suites. Prints medians of one run, and ratios: how many times
the peer's cost is ours. What the SDK's worker and client cost no backend can take away: a fan-out with the backend in
a process of its own takes as long as the worker's CPU, whatever the backend does, so that the target for it is held
against the run in one process. `--check` exits with 1 when one misses its target.
"""

import argparse
import ctypes
import gc
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from durabletask import task
from durabletask.client import TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

STEPS = 10
WIDE = 1_000
BATCH = 400
IDLE = 5_000
WAITERS = 100

quiet = logging.getLogger("bench")
quiet.setLevel(logging.CRITICAL)


def add_one(_: task.ActivityContext, number: int) -> int:
    return number + 1


def empty(_: task.OrchestrationContext, value: int) -> int:
    return value


def sequence(ctx: task.OrchestrationContext, number: int) -> Any:
    value = 0
    for _ in range(number):
        value = yield ctx.call_activity(add_one, input=value)
    return value


def fan_out(ctx: task.OrchestrationContext, number: int) -> Any:
    return len((yield task.when_all([ctx.call_activity(add_one, input=n) for n in range(number)])))


def idle(ctx: task.OrchestrationContext, _: None) -> Any:
    yield ctx.wait_for_external_event("go")


# --- The backends -----------------------------------------------------------------------------------------


def start(kind: str, port: int) -> int:
    """Start a backend in this process. Returns its port."""
    if kind == "ours":
        from steprig.durabletask import create_test_backend
    else:
        from durabletask.testing import create_test_backend
    return int(getattr(create_test_backend(port), "port", port))


def serve_together(kind: str, port: int) -> None:
    """Run a backend, a worker and a client; for each measure on stdin, print the seconds of wall and CPU it takes."""
    together = Connected(f"localhost:{start(kind, port)}")
    print("ready", flush=True)
    for line in sys.stdin:
        body, _ = MEASURES[line.strip()]
        cpu, began = time.process_time(), time.perf_counter()
        body(together)
        print(time.perf_counter() - began, time.process_time() - cpu, flush=True)
    os._exit(0)


def serve(kind: str, port: int) -> None:
    """Run a backend; for each line on stdin, print the CPU seconds and the resident kilobytes so far."""
    print(start(kind, port), flush=True)
    for line in sys.stdin:
        cpu = time.process_time()
        if line.strip() == "trim":
            give_back_memory()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(cpu, pages * os.sysconf("SC_PAGE_SIZE") // 1024, flush=True)
    os._exit(0)


def give_back_memory() -> None:
    """Have the resident size say what is in use: what was freed is given back, so that later growth is seen."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class Connected:
    """A worker and a client on a backend."""

    def __init__(self, address: str) -> None:
        self.worker = TaskHubGrpcWorker(host_address=address, logger=quiet)
        for orchestrator in (empty, sequence, fan_out, idle):
            self.worker.add_orchestrator(orchestrator)
        self.worker.add_activity(add_one)
        self.worker.start()
        self.client = TaskHubGrpcClient(host_address=address, logger=quiet)
        self.run(empty, 1)

    def run(self, orchestrator: Any, value: Any) -> None:
        instance_id = self.client.schedule_new_orchestration(orchestrator, input=value)
        self.wait(instance_id)

    def wait(self, instance_id: str) -> None:
        state = self.client.wait_for_orchestration_completion(instance_id, timeout=120)
        assert state is not None
        state.raise_if_failed()


class Backend(Connected):
    """A backend in a process of its own, with a worker and a client here."""

    def __init__(self, kind: str) -> None:
        port = 0 if kind == "ours" else free_port()
        self.kind = kind
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, "--port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        super().__init__(f"localhost:{int(self.process.stdout.readline())}")

    def cost(self, ask: str = "") -> tuple[float, int]:
        """CPU seconds and resident kilobytes of the backend so far; "trim" has it give back memory first."""
        cpu, kilobytes = read(self.process, ask).split()
        return float(cpu), int(kilobytes)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.worker.stop()
        self.client.close()
        self.process.stdin.close()
        self.process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- What is measured -------------------------------------------------------------------------------------


class Sample:
    """Seconds that something took: of the wall, and of the CPU of the backend, of the worker, and of the client."""

    def __init__(self, backend: Backend, body: Callable[[], object]) -> None:
        backend_cpu, _ = backend.cost()
        own_cpu, client, began = time.process_time(), time.thread_time(), time.perf_counter()
        body()
        self.wall = time.perf_counter() - began
        self.client = time.thread_time() - client
        self.worker = time.process_time() - own_cpu - self.client
        self.backend = backend.cost()[0] - backend_cpu


def batch(backend: Connected, number: int) -> None:
    """Start orchestrations one after the other, then wait for all."""
    ids = [backend.client.schedule_new_orchestration(empty, input=n) for n in range(number)]
    for one in ids:
        backend.wait(one)


MEASURES: dict[str, tuple[Callable[[Connected], object], int]] = {
    "empty orchestration": (lambda backend: [backend.run(empty, 1) for _ in range(50)], 50),
    f"activity, {STEPS} in sequence": (lambda backend: [backend.run(sequence, STEPS) for _ in range(10)], 10 * STEPS),
    f"fan-out of {WIDE:,}": (lambda backend: backend.run(fan_out, WIDE), 1),
    f"orchestration in a batch of {BATCH}": (lambda backend: batch(backend, BATCH), BATCH),
}

TARGETS = {
    ("empty orchestration", "wall"): 1.0,
    (f"activity, {STEPS} in sequence", "wall"): 1.0,
    (f"orchestration in a batch of {BATCH}", "wall"): 1.0,
    (f"fan-out of {WIDE:,}", "wall"): 1.0,
    ("empty orchestration", "backend"): 1 / 0.7,
    (f"activity, {STEPS} in sequence", "backend"): 1 / 0.7,
}

TARGETS_TOGETHER = {
    "empty orchestration": 1.0,
    f"activity, {STEPS} in sequence": 1.0,
    f"orchestration in a batch of {BATCH}": 1.0,
    f"fan-out of {WIDE:,}": 1.3,
}


def measure(starts: int, rounds: int) -> list[str]:
    """Print all measures. Returns those that miss their target."""
    samples: dict[str, dict[str, list[Sample]]] = {name: {"ours": [], "peer": []} for name in MEASURES}
    for _ in range(starts):
        sample(samples, rounds)
    missed: list[str] = []
    print(f"{f'milliseconds, medians of {starts} x {rounds}':<60} {'ours':>9} {'peer':>9} {'ratio':>7} {'target':>7}")
    for name, (_, number) in MEASURES.items():
        for part in ("wall", "backend", "worker", "client"):
            ours, peer = (
                statistics.median(getattr(one, part) for one in samples[name][kind]) * 1000 / number
                for kind in ("ours", "peer")
            )
            label = "wall" if part == "wall" else f"CPU of the {part}"
            report(missed, f"{name}: {label}", ours, peer, TARGETS.get((name, part)))
    return missed


def sample(samples: dict[str, dict[str, list[Sample]]], rounds: int) -> None:
    """Start the backends, and measure by turns: processes of the same program differ by several percent."""
    backends = [Backend("ours"), Backend("peer")]
    try:
        for name, (body, _) in MEASURES.items():
            for count in range(rounds):
                for backend in backends if count % 2 else backends[::-1]:
                    samples[name][backend.kind].append(Sample(backend, partial(body, backend)))
    finally:
        for backend in backends:
            backend.close()


def measure_together(starts: int, rounds: int) -> list[str]:
    """Print all measures of backends that share a process with their worker and client."""
    took: dict[str, dict[str, list[float]]] = {name: {"ours": [], "peer": []} for name in MEASURES}
    for _ in range(starts):
        sample_together(took, rounds)
    missed: list[str] = []
    for name, (_, number) in MEASURES.items():
        ours, peer = (statistics.median(took[name][kind]) * 1000 / number for kind in ("ours", "peer"))
        report(missed, f"{name}: wall, all in one process", ours, peer, TARGETS_TOGETHER[name])
    return missed


def sample_together(took: dict[str, dict[str, list[float]]], rounds: int) -> None:
    """See `sample`."""
    processes = {
        kind: subprocess.Popen(
            [sys.executable, __file__, "--serve-together", kind, "--port", str(0 if kind == "ours" else free_port())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in ("ours", "peer")
    }
    try:
        for process in processes.values():
            read(process)
        for name, kinds in took.items():
            for count in range(rounds):
                for kind in kinds if count % 2 else list(kinds)[::-1]:
                    kinds[kind].append(float(read(processes[kind], name).split()[0]))
    finally:
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def read(process: "subprocess.Popen[str]", ask: str | None = None) -> str:
    """What a process prints next, when it was asked."""
    assert process.stdin is not None
    assert process.stdout is not None
    if ask is not None:
        process.stdin.write(f"{ask}\n")
        process.stdin.flush()
    return process.stdout.readline()


def report(missed: list[str], name: str, ours: float, peer: float, target: float | None) -> None:
    ratio = peer / ours if ours else float("inf")
    goal = "" if target is None else f"{target:.2f}"
    mark = "  MISSED" if target is not None and ratio < target else ""
    print(f"{name[:60]:<60} {ours:9.3f} {peer:9.3f} {ratio:7.2f} {goal:>7}{mark}", flush=True)
    if mark:
        missed.append(name)


def measure_memory() -> list[str]:
    """Kilobytes for each of many orchestrations that wait for an event."""
    missed: list[str] = []
    found = {}
    for kind in ("ours", "peer"):
        backend = Backend(kind)
        try:
            batch(backend, 100)
            before = backend.cost("trim")[1]
            ids = [backend.client.schedule_new_orchestration(idle) for _ in range(IDLE)]
            backend.client.wait_for_orchestration_start(ids[-1], timeout=60)  # they start in turn
            found[kind] = (backend.cost("trim")[1] - before) / IDLE
        finally:
            backend.close()
    report(missed, "kilobytes for each idle orchestration", found["ours"], found["peer"], 2.0)
    return missed


def measure_waiters() -> list[str]:
    """Milliseconds that raising an event takes while many clients wait. The peer has ten threads for all."""
    backend = Backend("ours")
    try:
        ids = [backend.client.schedule_new_orchestration(idle) for _ in range(WAITERS)]
        with ThreadPoolExecutor(WAITERS) as pool:
            waits = [pool.submit(backend.wait, one) for one in ids]
            threading.Event().wait(0.5)
            took = []
            for one in ids:
                began = time.perf_counter()
                backend.client.raise_orchestration_event(one, "go")
                took.append((time.perf_counter() - began) * 1000)
            for wait in waits:
                wait.result()
    finally:
        backend.close()
    median = statistics.median(took)
    mark = "" if median < 5 else "  MISSED"
    print(f"RaiseEvent while {WAITERS} clients wait: median {median:.2f} ms, target 5 ms{mark}")
    return ["RaiseEvent"] if mark else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="how often the backends are started anew")
    parser.add_argument("--rounds", type=int, default=5, help="how often each measure is taken after each start")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--serve")
    parser.add_argument("--serve-together")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.port)
        return
    if arguments.serve_together:
        serve_together(arguments.serve_together, arguments.port)
        return
    starts, rounds = arguments.starts, arguments.rounds
    missed = [*measure(starts, rounds), *measure_together(starts, rounds), *measure_waiters(), *measure_memory()]
    if missed and arguments.check:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
