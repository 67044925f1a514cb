"""Names of functions and executions."""

import re
from typing import NamedTuple

from steprig.aws.model import Arn

_FUNCTION = re.compile(
    r"(?P<arn>arn:aws[a-zA-Z-]*:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_.-]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9_-]+))?"
)
LATEST = "$LATEST"
_LONGEST_NAME = 256


class FunctionName(NamedTuple):
    """The name of a function in its parts. What a short form leaves out is None."""

    name: str
    qualifier: str | None = None
    account: str | None = None
    region: str | None = None

    @property
    def version(self) -> str:
        """What runs: a published version by its number; whatever else stands for the latest."""
        return self.qualifier if self.qualifier is not None and self.qualifier.isdecimal() else LATEST


def parse_function_name(text: str) -> FunctionName | None:
    """A function's name, with or without qualifier, or its ARN, whole or in part. None when it is neither."""
    found = _FUNCTION.fullmatch(text) if 0 < len(text) <= _LONGEST_NAME else None
    if found is None:
        return None
    return FunctionName(found["name"], found["qualifier"], found["account"], found["region"])


def function_arn(name: str, *, region: str, account: str, qualifier: str | None = None) -> str:
    """The ARN of a function, or of one of its versions."""
    version = "" if qualifier is None else f":{qualifier}"
    return f"arn:aws:lambda:{region}:{account}:function:{name}{version}"


def execution_arn(function: str, name: str, execution_id: str) -> Arn:
    """The ARN of an execution.

    Args:
        function: The ARN of the function's version.
        name: The execution's own.
        execution_id: Also the id of its EXECUTION operation, which the SDK finds by it.
    """
    return Arn(f"{function}/durable-execution/{name}/{execution_id}")
