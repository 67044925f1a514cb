"""What the README shows is what `examples/` holds, and it works when it is pasted."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from steprig import pytest_plugin

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TEN_LINES = BLOCKS[0]


def rows(first_header):
    """The rows of the table whose first column has this header."""
    _, _, rest = README.partition(f"| {first_header} |")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table]


def run_in(directory, *command):
    ours = ("INNGEST_", "STEPRIG_", "DEV_SERVER_", "PYTEST_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_each_block_of_python_is_an_example():
    examples = {file.read_text(encoding="utf-8") for file in (ROOT / "examples").glob("*.py")}

    assert {*BLOCKS} <= examples


def test_the_ten_lines_are_ten():
    assert len([line for line in TEN_LINES.splitlines() if line]) == 10


def test_the_tests_pass_in_an_empty_project(tmp_path):
    tests = [block for block in BLOCKS if "def test_" in block]
    for number, block in enumerate(tests):
        (tmp_path / f"test_pasted_{number}.py").write_text(block, encoding="utf-8")

    done = run_in(tmp_path, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(tests)} passed" in done.stdout


def test_the_scripts_run(tmp_path):
    for block in BLOCKS:
        if "def test_" not in block:
            done = run_in(tmp_path, sys.executable, "-W", "error", "-c", block)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_table_of_fixtures_is_complete():
    offered = {
        name: value._fixture_function_marker.scope
        for name, value in vars(pytest_plugin).items()
        if hasattr(value, "_fixture_function_marker")
    }

    assert {name: scope for name, scope, _ in rows("fixture")} == offered


def test_the_table_of_ini_options_is_complete():
    offered = re.findall(r'addini\(\s*"(\w+)"', inspect.getsource(pytest_plugin))

    assert sorted(name for name, *_ in rows("ini option")) == sorted(offered)


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
