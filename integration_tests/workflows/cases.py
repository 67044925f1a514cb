"""A test case, as tests of the runners use it."""

import asyncio
import threading
import time
from collections import Counter

from steprig.workflows import AsyncWorkflowTestCase

PATIENCE = 60.0
"""Real seconds for what takes milliseconds."""


class Case(AsyncWorkflowTestCase):
    __test__ = False


def case(body, kind=Case):
    """Run the body in a test case of its own."""

    async def main():
        async with kind() as test, asyncio.timeout(PATIENCE):
            return await body(test)

    return asyncio.run(main())


def execute(workflow, inputs=None, **options):
    """Run one workflow."""
    return case(lambda test: test.execute_workflow(workflow, inputs, **options))


def succeeded(workflow, inputs=None, **options):
    """Run one workflow, which has to succeed."""
    result = execute(workflow, inputs, **options)
    assert result.status == "success", result.error
    return result


async def until(condition, what):
    """Wait for what no event tells, while the loop goes on."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        await asyncio.sleep(0.002)


def threads():
    """How many threads of each name there are, but for those that a closing loop has left to end."""
    return Counter(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio"))
