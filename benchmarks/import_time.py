"""How long the first import takes, each time in a fresh interpreter; `--check` exits with 1 on a missed target."""

import argparse
import statistics
import subprocess
import sys

TARGETS_MS = {"steprig": 60.0, "steprig.pytest_plugin": 60.0}
"""What every test run pays. pytest itself is imported before the clock starts, as in a test run."""

_PROGRAM = """
import time, pytest
started = time.perf_counter()
import {module}
print((time.perf_counter() - started) * 1e3)
"""


def measure(module: str, rounds: int) -> float:
    """The median, in milliseconds."""
    command = [sys.executable, "-c", _PROGRAM.format(module=module)]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(rounds))
    return statistics.median(float(run.stdout) for run in runs)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    met = True
    for module, target in TARGETS_MS.items():
        took = measure(module, arguments.rounds)
        met = met and took <= target
        print(f"import {module:24} {took:8.2f} ms  at most {target:g}  {'PASS' if took <= target else 'FAIL'}")
    return int(arguments.check and not met)


if __name__ == "__main__":
    sys.exit(main())
