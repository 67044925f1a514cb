"""Test AWS Lambda durable functions: a runner that needs no AWS and skips every wait, and the service over HTTP.

The names below are imported on first use, so that ``import steprig.aws`` costs nothing.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.aws.cloud_runner import DurableFunctionCloudTestRunner
    from steprig.aws.errors import (
        CallbackTimeoutException,
        DurableExecutionAlreadyStartedException,
        DurableFunctionsTestError,
        InvalidParameterValueException,
        InvalidRequestContentException,
        RequestTooLargeException,
        ResourceConflictException,
        ResourceNotFoundException,
        ServiceError,
        ServiceException,
        TooManyRequestsException,
    )
    from steprig.aws.history import Event
    from steprig.aws.hosting.environment import HandlerProcess
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
    from steprig.aws.stores import FileSystemExecutionStore, InMemoryExecutionStore, SQLiteExecutionStore
    from steprig.aws.web_config import StoreType, WebRunnerConfig, WebServiceConfig
    from steprig.aws.web_runner import WebRunner
    from steprig.aws.web_test_runner import DurableFunctionWebTestRunner

__all__ = [
    "CallbackOperation",
    "CallbackTimeoutException",
    "ContextOperation",
    "DurableChildContextTestRunner",
    "DurableExecutionAlreadyStartedException",
    "DurableFunctionCloudTestRunner",
    "DurableFunctionTestResult",
    "DurableFunctionTestRunner",
    "DurableFunctionWebTestRunner",
    "DurableFunctionsTestError",
    "Event",
    "ExecutionHistory",
    "ExecutionOperation",
    "ExecutionStatus",
    "FileSystemExecutionStore",
    "HandlerProcess",
    "InMemoryExecutionStore",
    "InvalidParameterValueException",
    "InvalidRequestContentException",
    "InvokeOperation",
    "Operation",
    "PendingCallback",
    "RequestTooLargeException",
    "ResourceConflictException",
    "ResourceNotFoundException",
    "SQLiteExecutionStore",
    "ServiceError",
    "ServiceException",
    "StepOperation",
    "StoreType",
    "TooManyRequestsException",
    "WaitOperation",
    "WebRunner",
    "WebRunnerConfig",
    "WebServiceConfig",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "cloud_runner": ("DurableFunctionCloudTestRunner",),
        "errors": (
            "CallbackTimeoutException",
            "DurableExecutionAlreadyStartedException",
            "DurableFunctionsTestError",
            "InvalidParameterValueException",
            "InvalidRequestContentException",
            "RequestTooLargeException",
            "ResourceConflictException",
            "ResourceNotFoundException",
            "ServiceError",
            "ServiceException",
            "TooManyRequestsException",
        ),
        "history": ("Event",),
        "hosting.environment": ("HandlerProcess",),
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
        "stores": ("FileSystemExecutionStore", "InMemoryExecutionStore", "SQLiteExecutionStore"),
        "web_config": ("StoreType", "WebRunnerConfig", "WebServiceConfig"),
        "web_runner": ("WebRunner",),
        "web_test_runner": ("DurableFunctionWebTestRunner",),
    },
    extra="aws",
)
