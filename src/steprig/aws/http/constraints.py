"""What the service model asks of names, ids and tokens."""

import re
from collections.abc import Sequence

from steprig.aws.http.reading import match
from steprig.aws.model import OperationUpdate

OPERATION_ID = re.compile(r"[a-zA-Z0-9\-_]{1,64}")
OPERATION_NAME = re.compile(r"[\x20-\x7E]{1,256}")
SUB_TYPE = re.compile(r"[a-zA-Z0-9\-_]{1,32}")
CHECKPOINT_TOKEN = re.compile(r"[A-Za-z0-9+/]{1,2048}={0,2}")
CLIENT_TOKEN = re.compile(r"[\x21-\x7E]{1,64}")
ACCOUNT_ID = re.compile(r"[0-9]{12}")
EXECUTION_NAME = re.compile(r"[a-zA-Z0-9\-_]{1,64}")
TENANT_ID = re.compile(r"[a-zA-Z0-9._:/=+\-@ ]{1,256}")
REASON = re.compile(r"(?s:.{0,1024})")


def check_updates(updates: Sequence[OperationUpdate]) -> None:
    """Raise `InvalidParameterValueException` for a name or an id that the service does not take."""
    for number, update in enumerate(updates, 1):
        where = f"updates.{number}.member"
        match(f"{where}.id", update.id, OPERATION_ID)
        match(f"{where}.parentId", update.parent_id, OPERATION_ID)
        match(f"{where}.name", update.name, OPERATION_NAME)
        match(f"{where}.subType", update.sub_type, SUB_TYPE)
