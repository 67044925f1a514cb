"""Times and JSON as the schema's scalars show them."""

from datetime import datetime

import msgspec


def time(moment: object) -> str | None:
    """`Time`; null for what is none."""
    return moment.isoformat().replace("+00:00", "Z") if isinstance(moment, datetime) else None


def text(json_text: msgspec.Raw | None) -> str | None:
    """JSON as a text."""
    return None if json_text is None else bytes(json_text).decode()
