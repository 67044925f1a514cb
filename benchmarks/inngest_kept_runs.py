"""Whether the dev server slows down as finished runs pile up: one that keeps 10,000 of them beside a fresh one.

Prints medians and their ratio of one run; `--check` exits with 1 when the ratio misses its target.
"""

import argparse
import asyncio
import statistics
import sys

from inngest_calls import AT_ONCE, Rig, runs_at_once, timed

KEPT = 10_000
TARGET = 1.2


async def measure(full: Rig, fresh: Rig, rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds of each on the full server and on the fresh one, taken in turns."""
    for _ in range(KEPT // AT_ONCE + 1):
        await runs_at_once(full)
    took: dict[str, tuple[list[float], list[float]]] = {"a run": ([], []), "ten steps": ([], [])}
    for number in range(rounds + 3):
        for name, event in (("a run", "bench/empty"), ("ten steps", "bench/steps")):
            for rig, times in zip((full, fresh), took[name], strict=True):
                seconds = await timed(lambda rig=rig, event=event: rig.run(event))  # type: ignore[misc]
                if number >= 3:  # the first rounds warm up
                    times.append(seconds)
    return {name: (statistics.median(full), statistics.median(fresh)) for name, (full, fresh) in took.items()}


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    full, fresh = Rig(), Rig()
    try:
        took = asyncio.run(measure(full, fresh, arguments.rounds))
        kept = len(full.dev.timeline.runs())
    finally:
        full.stop()
        fresh.stop()
    print(f"{'runs kept':42} {kept:8}")
    met = True
    for name, (with_kept, without) in took.items():
        good = with_kept <= without * TARGET
        met = met and good
        print(f"{name + ', on a fresh server':42} {without * 1e3:8.2f} ms")
        print(f"{name + ', with runs kept':42} {with_kept / without:8.2f} x   at most {TARGET:g}  {_judged(good)}")
    return int(arguments.check and not met)


def _judged(good: bool) -> str:
    return "PASS" if good else "FAIL"


if __name__ == "__main__":
    sys.exit(main())
