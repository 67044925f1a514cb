"""Inputs of executions."""

import json
from typing import Any


def as_json(value: Any) -> str:
    """An input as the service is given it: text that is JSON as it is, and whatever else as JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            pass
        else:
            return value
    return json.dumps(value)
