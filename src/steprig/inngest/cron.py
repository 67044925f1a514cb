"""Cron expressions: five fields, with an optional time zone in front (`TZ=Europe/Paris 0 12 * * *`)."""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from steprig.errors import SteprigError

_FIELDS = 5


class CronError(SteprigError, ValueError):
    """A text is no cron expression."""


class Cron(NamedTuple):
    """A schedule."""

    fields: str
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """The first time after `moment`, in UTC."""
        return next(CronSim(self.fields, moment.astimezone(self.zone))).astimezone(UTC)


def parse_cron(text: str) -> Cron:
    """Read a cron expression.

    Raises:
        CronError: It has not five fields, a field is out of range, or the time zone is unknown.
    """
    prefix, fields = _split_zone(text)
    if len(fields.split()) != _FIELDS:
        raise CronError(f"invalid cron {text!r}: expected 5 fields, such as '0 12 * * *'")
    try:
        zone = ZoneInfo(prefix)
        CronSim(fields, datetime.now(zone))
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        raise CronError(f"invalid cron {text!r}: unknown time zone {prefix!r}") from error
    except CronSimError as error:
        raise CronError(f"invalid cron {text!r}: {error}") from error
    return Cron(fields, zone)


def _split_zone(text: str) -> tuple[str, str]:
    stripped = text.strip()
    for mark in ("TZ=", "CRON_TZ="):
        if stripped.startswith(mark):
            zone, _, fields = stripped.removeprefix(mark).partition(" ")
            return zone, fields.strip()
    return "UTC", stripped
