"""The scalars of the schema that are read, and the errors for arguments that are out of range."""

from datetime import datetime
from typing import Any

from ariadne import ScalarType
from graphql import GraphQLError

from steprig.inngest.routes.parameters import moment

time = ScalarType("Time")
uuid = ScalarType("UUID")

TYPES = (time, uuid)


@time.value_parser
def parse_time(value: Any) -> datetime:
    """A time of RFC 3339."""
    return moment(value, "a Time")


@uuid.value_parser
def parse_uuid(value: Any) -> str:
    """A UUID, in whatever case."""
    if not isinstance(value, str):
        raise GraphQLError(f"a UUID is {value!r}; expected a text")
    return value.lower()


def at_least(name: str, value: int, least: int) -> int:
    """The value of an argument.

    Raises:
        GraphQLError: It is less than `least`.
    """
    if value < least:
        raise GraphQLError(f"{name} is {value}; expected {least} or more")
    return value
