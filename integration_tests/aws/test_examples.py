"""The examples of durable functions work as they stand, in the test's process and on a server."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "aws"


@pytest.mark.parametrize("mode", ["local", "web"])
def test_the_examples_pass(mode):
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", f"--steprig-aws={mode}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(EXAMPLES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
