"""Test AWS Lambda durable functions: a runner that needs no AWS and skips every wait.

The names below are imported on first use, so that ``import steprig.aws`` costs nothing.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.aws.errors import (
        CallbackTimeoutException,
        DurableExecutionAlreadyStartedException,
        DurableFunctionsTestError,
        InvalidParameterValueException,
        ResourceConflictException,
        ResourceNotFoundException,
        ServiceError,
        ServiceException,
        TooManyRequestsException,
    )
    from steprig.aws.history import Event
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
    from steprig.aws.runner import DurableChildContextTestRunner, DurableFunctionTestRunner, ExecutionHistory

__all__ = [
    "CallbackOperation",
    "CallbackTimeoutException",
    "ContextOperation",
    "DurableChildContextTestRunner",
    "DurableExecutionAlreadyStartedException",
    "DurableFunctionTestResult",
    "DurableFunctionTestRunner",
    "DurableFunctionsTestError",
    "Event",
    "ExecutionHistory",
    "ExecutionOperation",
    "ExecutionStatus",
    "InvalidParameterValueException",
    "InvokeOperation",
    "Operation",
    "PendingCallback",
    "ResourceConflictException",
    "ResourceNotFoundException",
    "ServiceError",
    "ServiceException",
    "StepOperation",
    "TooManyRequestsException",
    "WaitOperation",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "errors": (
            "CallbackTimeoutException",
            "DurableExecutionAlreadyStartedException",
            "DurableFunctionsTestError",
            "InvalidParameterValueException",
            "ResourceConflictException",
            "ResourceNotFoundException",
            "ServiceError",
            "ServiceException",
            "TooManyRequestsException",
        ),
        "history": ("Event",),
        "operations": (
            "CallbackOperation",
            "ContextOperation",
            "ExecutionOperation",
            "InvokeOperation",
            "Operation",
            "StepOperation",
            "WaitOperation",
        ),
        "responders": ("PendingCallback",),
        "result": ("DurableFunctionTestResult", "ExecutionStatus"),
        "runner": ("DurableChildContextTestRunner", "DurableFunctionTestRunner", "ExecutionHistory"),
    },
    extra="aws",
)
