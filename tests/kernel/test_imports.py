"""What importing the kernel costs."""

import subprocess
import sys

HEAVY = ("aiohttp", "uvicorn", "starlette", "httpx", "anyio", "typer", "time_machine", "pytest")


def test_the_kernel_imports_no_server_no_client_and_no_test_framework() -> None:
    code = "import sys, steprig.kernel; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "msgspec" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_the_kernel_imports_no_other_part_of_steprig() -> None:
    code = "import sys, steprig.kernel; print(*sorted(name for name in sys.modules if name.startswith('steprig.')))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.split(".")[1] for name in modules} == {"errors", "kernel", "lazy"}  # the last is of the package itself
