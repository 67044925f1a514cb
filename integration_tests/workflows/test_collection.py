"""The test case as pytest and unittest find it."""

import subprocess
import sys

SUITE = """
from steprig.workflows import AsyncWorkflowTestCase, TestHttpServer

class MyWorkflowTest(AsyncWorkflowTestCase):
    async def setUp(self):
        await super().setUp()
        self.mail = await self.create_test_resource("mail", None, mock=True, cleanup_handler=lambda mail: print("gone"))
        assert not hasattr(self, "used")

    async def test_one(self):
        self.used = True
        result = await self.execute_workflow(self.order)
        self.assert_workflow_success(result)
        self.assert_resource_called("mail", "send", times=1)
        assert self.test_name == "test_one"

    async def test_two(self):
        self.used = True

    async def test_that_fails(self):
        self.assert_resource_called("mail", "send")

    async def order(self, get_resource):
        await (await get_resource("mail")).send("x")
"""


def test_pytest_collects_it_whatever_it_is_called_with_an_instance_for_each_test(pytester):
    pytester.makepyfile(SUITE)

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rP", "-W", "error")

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*mail.send: expected at least 1 call, found 0*"])
    assert result.stdout.str().count("gone") == 3


def test_unittest_collects_it_too(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)

    done = subprocess.run(
        [sys.executable, "-m", "unittest", "test_suite"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "Ran 3 tests" in done.stderr
    assert "FAILED (failures=1)" in done.stderr
    assert done.stdout.count("gone") == 3


def test_importing_the_base_class_adds_no_test(pytester):
    pytester.makepyfile(
        "from steprig.workflows import *\nfrom steprig.workflows import AsyncWorkflowTestCase\ndef test_it(): pass"
    )

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
