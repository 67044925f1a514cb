"""What a dev server can be told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import msgspec

from steprig.inngest.signing import is_bearer_of

ServerKind = Literal["dev", "cloud"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a dev server behaves; each has the real one's default."""

    sdk_urls: Sequence[str] = ()
    """Apps to sync with at start."""
    event_keys: Sequence[str] = ()
    """The keys to accept events with; any when there are none."""
    signing_key: str | None = None
    """Signs what is sent to apps, and is asked of those that register."""
    signing_key_fallback: str | None = None
    """Accepted, like `signing_key`, of apps that register: for the time in which a key is replaced."""
    kind: ServerKind = "dev"
    """What the server says it is. Apps in cloud mode answer `cloud` only."""
    retry_interval: timedelta | None = None
    """Instead of the backoff between attempts."""
    crons: bool = False
    """Whether cron triggers start functions."""
    poll_interval: float | None = None
    """Seconds between two looks at each app that serves over HTTP, for changed functions; None for none."""
    discovery: bool = False
    """Whether to look for apps on this machine's usual ports."""
    connect_port: int | None = None
    """A second port for Connect's gateway, which else has the server's own."""
    connect_lease: float = 120.0
    """Seconds that a worker has to answer a call or to ask for more time."""
    seed: int | None = None
    """Makes the jitter of retries and of crons repeatable."""

    def admits(self, authorization: str | None) -> bool:
        """Whether an app with this `Authorization` header may register: it has one of the keys, if there are any."""
        if self.signing_key is None:
            return True
        keys = [key for key in (self.signing_key, self.signing_key_fallback) if key is not None]
        return any(is_bearer_of(authorization or "", key) for key in keys)
