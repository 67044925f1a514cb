"""What the embedded Durable Task backend costs, beside the SDK's own in-memory one.

Each backend runs in a process of its own, and the same SDK worker and client talk to either in turn. Prints medians
of one run, and ratios: how many times the peer's cost is ours. `--check` exits with 1 when one misses its target.
"""

import argparse
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
IDLE = 2_000
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


def serve(kind: str, port: int) -> None:
    """Run a backend; for each line on stdin, print the CPU seconds and the resident kilobytes so far."""
    if kind == "ours":
        from steprig.durabletask import create_test_backend
    else:
        from durabletask.testing import create_test_backend
    backend = create_test_backend(port)
    print(getattr(backend, "port", port), flush=True)
    for _ in sys.stdin:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(time.process_time(), pages * os.sysconf("SC_PAGE_SIZE") // 1024, flush=True)
    os._exit(0)


class Backend:
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
        self.address = f"localhost:{int(self.process.stdout.readline())}"
        self.worker = TaskHubGrpcWorker(host_address=self.address, logger=quiet)
        for orchestrator in (empty, sequence, fan_out, idle):
            self.worker.add_orchestrator(orchestrator)
        self.worker.add_activity(add_one)
        self.worker.start()
        self.client = TaskHubGrpcClient(host_address=self.address, logger=quiet)
        self.run(empty, 1)

    def cost(self) -> tuple[float, int]:
        """CPU seconds and resident kilobytes of the backend so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        cpu, kilobytes = self.process.stdout.readline().split()
        return float(cpu), int(kilobytes)

    def run(self, orchestrator: Any, value: Any) -> None:
        instance_id = self.client.schedule_new_orchestration(orchestrator, input=value)
        self.wait(instance_id)

    def wait(self, instance_id: str) -> None:
        state = self.client.wait_for_orchestration_completion(instance_id, timeout=120)
        assert state is not None
        state.raise_if_failed()

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
    """Seconds that something took, of the wall, of the backend's CPU, and of the CPU of worker and client."""

    def __init__(self, backend: Backend, body: Callable[[], object]) -> None:
        backend_cpu, _ = backend.cost()
        own_cpu, began = time.process_time(), time.perf_counter()
        body()
        self.wall = time.perf_counter() - began
        self.sdk = time.process_time() - own_cpu
        self.backend = backend.cost()[0] - backend_cpu


def batch(backend: Backend, number: int) -> None:
    """Start orchestrations one after the other, then wait for all."""
    ids = [backend.client.schedule_new_orchestration(empty, input=n) for n in range(number)]
    for one in ids:
        backend.wait(one)


MEASURES: dict[str, tuple[Callable[[Backend], object], int]] = {
    "empty orchestration": (lambda backend: [backend.run(empty, 1) for _ in range(50)], 50),
    f"activity, {STEPS} in sequence": (lambda backend: [backend.run(sequence, STEPS) for _ in range(10)], 10 * STEPS),
    f"fan-out of {WIDE:,}": (lambda backend: backend.run(fan_out, WIDE), 1),
    f"orchestration in a batch of {BATCH}": (lambda backend: batch(backend, BATCH), BATCH),
}

TARGETS = {
    ("empty orchestration", "wall"): 1.0,
    (f"activity, {STEPS} in sequence", "wall"): 1.0,
    (f"orchestration in a batch of {BATCH}", "wall"): 1.0,
    ("empty orchestration", "backend"): 1 / 0.7,
    (f"activity, {STEPS} in sequence", "backend"): 1 / 0.7,
    (f"fan-out of {WIDE:,}", "wall"): 1.3,
}


def measure(rounds: int) -> list[str]:
    """Print all measures. Returns those that miss their target."""
    backends = [Backend("ours"), Backend("peer")]
    missed: list[str] = []
    print(f"{'milliseconds, medians of ' + str(rounds):<38}{'ours':>9}{'peer':>9}{'ratio':>8}{'target':>8}")
    try:
        for name, (body, number) in MEASURES.items():
            samples: dict[str, list[Sample]] = {"ours": [], "peer": []}
            for count in range(rounds):
                for backend in backends if count % 2 else backends[::-1]:
                    samples[backend.kind].append(Sample(backend, partial(body, backend)))
            for part in ("wall", "backend", "sdk"):
                ours, peer = (
                    statistics.median(getattr(sample, part) for sample in samples[kind]) * 1000 / number
                    for kind in ("ours", "peer")
                )
                label = {"wall": "wall", "backend": "CPU of the backend", "sdk": "CPU of SDK worker + client"}[part]
                report(missed, f"{name}: {label}", ours, peer, TARGETS.get((name, part)))
        for backend in backends:
            backend.worker.stop()
    finally:
        for backend in backends:
            backend.close()
    return missed


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
            before = backend.cost()[1]
            ids = [backend.client.schedule_new_orchestration(idle) for _ in range(IDLE)]
            for one in ids:
                backend.client.wait_for_orchestration_start(one, timeout=60)
            found[kind] = (backend.cost()[1] - before) / IDLE
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
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--serve")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.port)
        return
    missed = [*measure(arguments.rounds), *measure_waiters(), *measure_memory()]
    if missed and arguments.check:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
