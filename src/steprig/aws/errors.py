"""The service's errors, and those of the test runner."""

from typing import ClassVar, Literal

from steprig.errors import SteprigError


class DurableFunctionsTestError(SteprigError):
    """A test asked for what is not there, or cannot be done. The message says what there is."""


class ServiceError(SteprigError):
    """A request that the service refuses, with what an HTTP answer needs to say so.

    `response` is what botocore's `ClientError` calls so, by which the SDK tells a fault that may pass from one
    that will not.
    """

    status: ClassVar[int]
    """The HTTP status."""
    message_key: ClassVar[Literal["message", "Message"]]
    """Under which key the answer's body holds the message, as the service model has it."""
    code: ClassVar[str]
    """The error's name on the wire."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = cls.__dict__.get("code", cls.__name__)

    @property
    def response(self) -> dict[str, dict[str, object]]:
        """The error as botocore gives it."""
        return {
            "Error": {"Code": self.code, "Message": str(self)},
            "ResponseMetadata": {"HTTPStatusCode": self.status},
        }


class InvalidParameterValueException(ServiceError):  # noqa: N818 - the service's names
    """Something in a request is not as it has to be."""

    status, message_key = 400, "message"


class ResourceNotFoundException(ServiceError):  # noqa: N818
    """There is no such execution, callback or function."""

    status, message_key = 404, "Message"


class CallbackTimeoutException(ServiceError):  # noqa: N818
    """An answer to a callback that has timed out."""

    status, message_key = 400, "Message"


class ResourceConflictException(ServiceError):  # noqa: N818
    """The execution is in no state in which this can be done."""

    status, message_key = 409, "message"


class DurableExecutionAlreadyStartedException(ServiceError):  # noqa: N818
    """The name is taken by an execution with another input."""

    status, message_key = 409, "Message"


class TooManyRequestsException(ServiceError):  # noqa: N818
    """Come again later."""

    status, message_key = 429, "message"


class ServiceException(ServiceError):  # noqa: N818
    """A fault of the service itself."""

    status, message_key = 500, "Message"


class RequestTooLargeException(ServiceError):  # noqa: N818
    """The payload is too large."""

    status, message_key = 413, "message"


class InvalidRequestContentException(ServiceError):  # noqa: N818
    """The payload of an invocation is no JSON."""

    status, message_key = 400, "message"


class UnknownOperationException(ServiceError):  # noqa: N818
    """The service has no such path, or not with that method."""

    status, message_key = 404, "message"
