"""The examples work as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("folder", "options", "passed"),
    [
        ("aws", ["--steprig-aws=local"], "3 passed"),
        ("aws", ["--steprig-aws=web"], "3 passed"),
        ("durabletask", [], "3 passed"),
        ("workflows", [], " passed"),
    ],
    ids=["aws-local", "aws-web", "durabletask", "workflows"],
)
def test_the_examples_pass(folder, options, passed):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options, EXAMPLES / folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout
    assert passed in done.stdout
    assert "skipped" not in done.stdout
