"""What a dev server can be told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import msgspec

ServerKind = Literal["dev", "cloud"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a dev server behaves; each has the real one's default."""

    sdk_urls: Sequence[str] = ()
    """Apps to sync with at start."""
    event_keys: Sequence[str] = ()
    """The keys to accept events with; any when there are none."""
    signing_key: str | None = None
    """Signs what is sent to apps, and is asked of those that register."""
    kind: ServerKind = "dev"
    """What the server says it is. Apps in cloud mode answer `cloud` only."""
    retry_interval: timedelta | None = None
    """Instead of the backoff between attempts."""
    crons: bool = False
    """Whether cron triggers start functions."""
    poll_interval: float | None = None
    """Seconds between two looks at each app for changed functions; None for none."""
    discovery: bool = False
    """Whether to look for apps on this machine's usual ports."""
    seed: int | None = None
    """Makes the jitter of retries repeatable."""
