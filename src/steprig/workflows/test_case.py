"""The base class of workflow tests."""

import asyncio
import logging
import unittest
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from steprig.workflows.cleanup import CleanupStack, awaited, raise_all
from steprig.workflows.errors import NotSetUpError
from steprig.workflows.execution import execute
from steprig.workflows.kept import Kept
from steprig.workflows.mock_registry import MockResourceRegistry
from steprig.workflows.resources import TestResources
from steprig.workflows.result import WorkflowTestResult

logger = logging.getLogger("steprig.workflows")


class AsyncWorkflowTestCase(unittest.IsolatedAsyncioTestCase):
    """A test of workflows: resources that are cleaned up, mocks that know their calls, and assertions.

        class OrdersTest(AsyncWorkflowTestCase):
            async def setUp(self):
                await super().setUp()
                self.mail = await self.create_test_resource("mail", None, mock=True)

            async def test_an_order_is_confirmed(self):
                result = await self.execute_workflow(workflow, {"order": 7})
                self.assert_workflow_success(result)
                self.assert_resource_called("mail", "send", times=1)

    pytest and `python -m unittest` collect it as it stands, whatever it is called, with a new instance for each
    test. `async with OrdersTest() as test:` does the same in any async code.

    Args:
        test_name: Its name, in logs; by default that of the class. unittest gives the name of the method to run.
    """

    raise_errors = False
    """Whether `execute_workflow` raises what a node has raised, rather than give a failed result."""

    def __init__(self, test_name: str | None = None) -> None:
        is_method = test_name is not None and callable(getattr(self, test_name, None))
        super().__init__(test_name if is_method and test_name is not None else "runTest")
        self.test_name = test_name or type(self).__name__
        self.mock_registry = MockResourceRegistry()
        self._cleanup_stack = CleanupStack()
        self.resource_registry = TestResources(self.mock_registry, self._cleanup_stack)
        self._kept = Kept(self._cleanup_stack)
        self._is_set_up = self._is_over = False

    # Life -----------------------------------------------------------------------------------------------------

    async def setUp(self) -> None:  # type: ignore[override]  # async, as the guide has it; see _callSetUp
        """Override to prepare a test; begin with `await super().setUp()`."""
        self._is_set_up = True
        logger.debug("test %s begins", self.test_name)

    async def tearDown(self) -> None:  # type: ignore[override]
        """Override for what no clean-up does."""
        logger.debug("test %s ends", self.test_name)

    async def __aenter__(self) -> Self:
        try:
            await awaited(self.setUp())
            await self.asyncSetUp()
        except BaseException:
            self._report_only(await self._cleanup_stack.run())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        errors: list[Exception] = []
        try:
            await self.asyncTearDown()
            await awaited(self.tearDown())
        except Exception as failure:  # noqa: BLE001 - raised after the clean-ups
            failure.add_note(f"raised in tearDown of {self.test_name}")
            errors.append(failure)
        finally:
            errors += await self._cleanup_stack.run()
            self._is_over = True
        if error is None:
            raise_all(errors, f"the end of {self.test_name} failed")
        self._report_only(errors)  # what the test itself has raised goes first

    def _callSetUp(self) -> None:  # noqa: N802 - unittest's own name
        self._asyncioRunner.get_loop()  # type: ignore[attr-defined]
        self._callAsync(self.__aenter__)  # type: ignore[attr-defined]

    def _callTearDown(self) -> None:  # noqa: N802
        self._callAsync(self.__aexit__, None, None, None)  # type: ignore[attr-defined]

    def _report_only(self, errors: Sequence[Exception]) -> None:
        for error in errors:
            logger.error("the end of %s failed, too: %r", self.test_name, error, exc_info=error)

    # Resources ------------------------------------------------------------------------------------------------

    async def create_test_resource(
        self,
        name: str,
        factory: Any,
        mock: bool = False,
        health_check: Callable[[Any], Any] | None = None,
        cleanup_handler: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Make a resource that workflows get by `await get_resource(name)`, and that is gone after the test.

        Args:
            name: Its name, not used yet in this test.
            factory: A callable, sync or async, or an object with a method `create`. One that yields the resource goes
                on at the end, as pytest's fixtures do. For a mock it may be None.
            mock: Whether its calls are tracked, see `MockResourceRegistry.create_mock`.
            health_check: Takes the resource, sync or async; what is not true refuses it.
            cleanup_handler: Takes the resource at the end, sync or async, in the place of its own `aclose`, `close`
                or `cleanup`. Those of a resource that was yielded are left to what yields it. Resources end in the
                reverse order of their making.

        Returns:
            The resource.
        """
        self._check_life("create_test_resource")
        if mock:
            resource = await self.resource_registry.create_mock(name, factory, cleanup_handler)
        else:
            self.resource_registry.register_factory(name, factory, health_check, cleanup_handler)
            resource = await self.resource_registry.get_resource(name)
        logger.debug("test %s has %s %r: %r", self.test_name, "mock" if mock else "resource", name, resource)
        return resource

    def get_resource(self, name: str) -> Any:
        """A resource or mock that was made before.

        Raises:
            UnknownResourceError: There is none of that name; a KeyError that lists those there are.
        """
        return self.resource_registry.existing(name)

    def is_mock(self, name: str) -> bool:
        """Whether a resource is a mock."""
        return self.resource_registry.is_mock(name)

    def add_cleanup(self, cleanup_func: Callable[[], Any]) -> None:
        """Call a function, sync or async, at the end; the last one added goes first."""
        self.addCleanup(cleanup_func)

    def addCleanup(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:  # noqa: N802
        """`add_cleanup` of a function with arguments. unittest's `addAsyncCleanup` and `enterAsyncContext` use it."""
        if not callable(function):
            raise TypeError(f"a clean-up is a function, sync or async, that is called at the end; got {function!r}")
        self._cleanup_stack.push(getattr(function, "__name__", repr(function)), partial(function, *args, **kwargs))

    # Running --------------------------------------------------------------------------------------------------

    async def execute_workflow(
        self,
        workflow: object,
        inputs: Any = None,
        mock_resources: Mapping[str, Any] | None = None,
        timeout: float | None = 30.0,
        capture_logs: bool = True,
        raise_errors: bool | None = None,
    ) -> WorkflowTestResult:
        """Run a workflow with this test's resources.

        Args:
            workflow: A kailash workflow, an Inngest function, an AWS durable function, a Durable Task orchestrator,
                what a runner of another package takes (see `steprig.workflows.runners`), or any async callable.
            inputs: Its inputs by name: for Inngest the data of the event. The event of an AWS function and the input
                of an orchestrator may be any JSON.
            mock_resources: More mocks by name, which can be asserted on like the others.
            timeout: Seconds, after which the run is stopped; None for no limit.
            capture_logs: Whether the result keeps what was logged.
            raise_errors: Whether to raise what a node has raised; None for what the class says.

        Returns:
            The result, also of a workflow that failed.

        Raises:
            AssertionError: It took longer than `timeout`.
            UnusableWorkflowError: This is no workflow.
            WorkflowInputError: It would never see an input as it was meant.
        """
        self._check_life("execute_workflow")
        for name, mock in (mock_resources or {}).items():
            self.mock_registry.register_mock(name, mock)
        result = await execute(
            workflow, inputs, self.resource_registry, self._kept, timeout=timeout, capture_logs=capture_logs
        )
        if result.errors and (self.raise_errors if raise_errors is None else raise_errors):
            raise result.errors[0][1]
        return result

    # Assertions -----------------------------------------------------------------------------------------------

    def assert_workflow_success(self, result: WorkflowTestResult) -> None:
        """Fail, with the errors and logs, unless the workflow succeeded."""
        if result.status != "success":
            raise AssertionError(f"the workflow failed: {result.error}{_finished(result)}{_logs(result)}")

    def assert_workflow_failed(self, result: WorkflowTestResult) -> None:
        """Fail unless the workflow failed."""
        if result.status != "failed":
            raise AssertionError(f"the workflow was expected to fail, but succeeded{_finished(result)}")

    def assert_node_output(
        self, result: WorkflowTestResult, node_id: str, expected: Any, key: str | int | None = None
    ) -> None:
        """Fail unless a node gave a value.

        Args:
            result: Of the run.
            node_id: The node.
            expected: The value.
            key: A path into what the node gave, such as `items.0.price`, or an index.

        Raises:
            AssertionError: It gave another, or nothing at that path; shows what there is.
        """
        try:
            actual = result.output(node_id, key)
        except LookupError as missing:
            raise AssertionError(f"{missing} (expected {expected!r})") from None
        if actual != expected:
            where = node_id if key is None else f"{node_id}.{key}"
            raise AssertionError(f"the output {where} differs.\nExpected: {expected!r}\nActual:   {actual!r}")

    def assert_resource_called(
        self,
        resource_name: str,
        method_name: str,
        times: int | None = None,
        with_args: Sequence[Any] | None = None,
        with_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Fail unless a mock's method was called; see `MockResourceRegistry.assert_called`."""
        self.mock_registry.assert_called(resource_name, method_name, times, with_args, with_kwargs)

    @asynccontextmanager
    async def assert_time_limit(self, seconds: float) -> AsyncIterator[None]:
        """Stop what is within, and fail, when it takes longer than `seconds`."""
        began, limit = perf_counter(), asyncio.timeout(seconds)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise AssertionError(f"stopped after {perf_counter() - began:.3f} s; the limit is {seconds:g} s") from error
        if (took := perf_counter() - began) > seconds:
            raise AssertionError(f"it took {took:.3f} s; the limit is {seconds:g} s")

    def _check_life(self, method: str) -> None:
        if self._is_over:
            raise NotSetUpError(f"{method} was called after the end of the test {self.test_name}")
        if not self._is_set_up:
            raise NotSetUpError(
                f"{method} needs the test to be set up: begin {type(self).__name__}.setUp with "
                f"`await super().setUp()`, and outside of pytest and unittest use "
                f"`async with {type(self).__name__}() as test:`"
            )


def _finished(result: WorkflowTestResult) -> str:
    return f"\nNodes finished: {', '.join(result.outputs) or 'none'}"


def _logs(result: WorkflowTestResult) -> str:
    return f"\nLogs:\n{result.get_logs()}" if result.logs else ""
