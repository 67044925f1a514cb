"""How long a server takes to start and stop, beside what people do without steprig.

Two comparisons, each side in turn within one run, medians of many:

1. start + one request + stop, against the pattern that everyone writes by hand: find a free port
   by bind and close, run uvicorn in a thread, poll until it is up, set `should_exit`.
2. start + stop, against the lifespan of Starlette's TestClient, which opens no socket.

    python benchmarks/live_server.py [--check] [--rounds 200]
"""

import argparse
import gc
import http.client
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from statistics import median

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from steprig.live import UvicornTestServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


async def home(request):
    return PlainTextResponse("hello")


app = Starlette(routes=[Route("/", home)])


def request(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello"
    connection.close()


def by_hand() -> None:
    """The pattern that everybody copies, as it stands, with its polling: what steprig is compared with."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.1)
    request(port)
    server.should_exit = True
    thread.join()


def with_steprig() -> None:
    with UvicornTestServer(app) as server:
        request(server.port)


def start_and_stop() -> None:
    with UvicornTestServer(app):
        pass


def testclient_lifespan() -> None:
    with TestClient(app):
        pass


def interleaved(*calls: tuple[Callable[[], None], int]) -> list[float]:
    """The median seconds of each call; the second of a pair says how often it runs in a round."""
    times: list[list[float]] = [[] for _ in calls]
    rounds = min(count for _, count in calls)
    for call, _ in calls:
        call()
    for _ in range(rounds):
        for taken, (call, count) in zip(times, calls, strict=True):
            for _ in range(count // rounds):
                # A collection that one side has caused would be charged to the other.
                gc.collect(0)
                begun = time.perf_counter()
                call()
                taken.append(time.perf_counter() - begun)
    return [median(taken) for taken in times]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the start and stop of test servers.")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--rounds", type=int, default=300, help="measurements of each fast side")
    rounds = parser.parse_args().rounds

    hand, rig = interleaved((by_hand, max(1, rounds // 20)), (with_steprig, rounds))
    bare, lifespan = interleaved((start_and_stop, rounds), (testclient_lifespan, rounds))
    results = [
        ("start + request + stop", "by hand", hand, rig, hand / rig >= 60, f"{hand / rig:.0f} x faster", ">= 60 x"),
        ("start + stop", "TestClient", lifespan, bare, bare / lifespan <= 1.5, f"{bare / lifespan:.2f} x", "<= 1.5 x"),
    ]
    print(f"{'':24}{'peer':>12}{'peer ms':>10}{'steprig ms':>12}{'ratio':>16}{'target':>10}")
    for what, peer, theirs, ours, good, ratio, target in results:
        verdict = "PASS" if good else "FAIL"
        print(f"{what:24}{peer:>12}{theirs * 1e3:10.2f}{ours * 1e3:12.2f}{ratio:>16}{target:>10}  {verdict}")
    return int("--check" in sys.argv and not all(result[4] for result in results))


if __name__ == "__main__":
    sys.exit(main())
