"""Names of functions as requests give them."""

import re

from steprig.aws.arns import FunctionName, parse_function_name
from steprig.aws.errors import InvalidParameterValueException as Invalid
from steprig.aws.errors import ResourceNotFoundException
from steprig.aws.http.backend import Backend
from steprig.aws.http.reading import match, shown

_QUALIFIER = re.compile(r"\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9\-_$]{1,128}")


def function_of(text: str, qualifier: str | None, backend: Backend) -> FunctionName:
    """A function's name in its parts, whichever of its four forms was given.

    Args:
        text: A name, a name with qualifier, or an ARN, whole or in part.
        qualifier: What the query says of it.
        backend: Knows the region and the account.

    Raises:
        InvalidParameterValueException: It is no name, or there are two different qualifiers.
        ResourceNotFoundException: It is an ARN of another region or account.
    """
    match("qualifier", qualifier, _QUALIFIER)
    name = parse_function_name(text)
    if name is None:
        raise Invalid(
            f"1 validation error detected: Value {shown(text)} at 'functionName' failed to satisfy constraint: "
            "Member must be a function's name, its ARN, or a part of that, of at most 256 characters"
        )
    if name.qualifier is not None and qualifier is not None and name.qualifier != qualifier:
        raise Invalid("The derived qualifier from the function name does not match the specified qualifier.")
    if name.region not in (None, backend.region) or name.account not in (None, backend.account):
        raise ResourceNotFoundException(f"Function not found: {text}")
    return name._replace(qualifier=name.qualifier or qualifier)
