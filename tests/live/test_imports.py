"""What an import costs, and that the public names are there."""

import subprocess
import sys

import pytest

import steprig.live


def test_importing_the_package_loads_neither_uvicorn_nor_asyncio():
    code = "import sys, steprig.live; print([m for m in ('uvicorn', 'asyncio', 'anyio', 'http') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_imported():
    for name in steprig.live.__all__:
        assert getattr(steprig.live, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = steprig.live.Nonsense
