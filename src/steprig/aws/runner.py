"""Runs durable functions in tests, without AWS and without waiting.

Code written for `aws_durable_execution_sdk_python_testing.runner` runs with the import changed to this module.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.execution import InvocationStatus  # type: ignore[attr-defined]
from aws_durable_execution_sdk_python.lambda_service import ErrorObject, OperationStatus, OperationType

from steprig import aws
from steprig.aws.function_runner import DurableFunctionTestRunner, ExecutionHistory
from steprig.aws.operations import (
    CallbackOperation,
    ContextOperation,
    ExecutionOperation,
    InvokeOperation,
    Operation,
    StepOperation,
    WaitOperation,
)
from steprig.aws.responders import PendingCallback
from steprig.aws.result import DurableFunctionTestResult, ExecutionStatus

if TYPE_CHECKING:
    from steprig.aws.cloud_runner import DurableFunctionCloudTestRunner
    from steprig.aws.web_config import StoreType, WebRunnerConfig, WebServiceConfig
    from steprig.aws.web_runner import WebRunner
    from steprig.aws.web_test_runner import DurableFunctionWebTestRunner

__all__ = [
    "CallbackOperation",
    "ContextOperation",
    "DurableChildContextTestRunner",
    "DurableFunctionCloudTestRunner",
    "DurableFunctionTestResult",
    "DurableFunctionTestRunner",
    "DurableFunctionWebTestRunner",
    "ErrorObject",
    "ExecutionHistory",
    "ExecutionOperation",
    "ExecutionStatus",
    "InvocationStatus",
    "InvokeOperation",
    "Operation",
    "OperationStatus",
    "OperationType",
    "PendingCallback",
    "StepOperation",
    "StoreType",
    "WaitOperation",
    "WebRunner",
    "WebRunnerConfig",
    "WebServiceConfig",
]


def __getattr__(name: str) -> object:
    """What needs a server or a client, imported on first use; and the errors and stores of the package."""
    if name not in __all__ and name not in aws.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(aws, name)


class DurableChildContextTestRunner(DurableFunctionTestRunner):
    """Runs one function that is decorated with `@durable_with_child_context`.

    Args:
        context_function: The function.
        *args: What it is called with.
        skip_time: False to let all take its real time.
        **kwargs: What it is called with.
    """

    def __init__(self, context_function: Callable[..., Any], *args: Any, skip_time: bool = True, **kwargs: Any) -> None:
        @durable_execution
        def handler(event: Any, context: Any) -> Any:
            return context_function(*args, **kwargs)(context)

        super().__init__(handler, skip_time=skip_time)
