"""The limits and fixed ids of the dev server, as an SDK's user meets them."""

from datetime import timedelta
from typing import Final

MIB: Final = 1024 * 1024

MAX_EVENTS_PER_REQUEST: Final = 5000
MAX_EVENT_BYTES: Final = 3 * MIB
MAX_STEP_BYTES: Final = 4 * MIB
MAX_REPLY_BYTES: Final = 8 * MIB
MAX_STATE_BYTES: Final = 32 * MIB
MAX_BATCH_BYTES: Final = 10 * MIB
MAX_STEPS: Final = 1000
ABSOLUTE_MAX_STEPS: Final = 10_000
MAX_DEFERS: Final = 20
MAX_METADATA_BYTES: Final = 64 * 1024
MAX_RUN_METADATA_BYTES: Final = MIB

MAX_REQUEST_BYTES: Final = 64 * MIB
"""What a request to the server may be. The dev server has no such limit: it takes events one by one, as they come."""

DEFAULT_RETRIES: Final = 4
MAX_RETRIES: Final = 20
MAX_TRIGGERS: Final = 10
MAX_CANCEL_ENTRIES: Final = 5
MAX_CONCURRENCY_ENTRIES: Final = 2
MIN_BATCH_SIZE: Final = 2
MIN_BATCH_TIMEOUT: Final = timedelta(seconds=1)
MIN_DEBOUNCE: Final = timedelta(seconds=1)
MAX_DEBOUNCE: Final = timedelta(days=7)
MAX_RATE_LIMIT_PERIOD: Final = timedelta(hours=24)
MIN_CRON_JITTER: Final = timedelta(seconds=1)
MAX_CRON_JITTER: Final = timedelta(minutes=5)

MAX_SLEEP: Final = timedelta(days=366)
DEFAULT_WAIT: Final = timedelta(days=365)
MAX_PRIORITY: Final = 43_200
IDEMPOTENCY_WINDOW: Final = timedelta(hours=24)
CALL_TIMEOUT: Final = timedelta(hours=2)

ACCOUNT_ID: Final = "00000000-0000-4000-a000-000000000000"
ENVIRONMENT_ID: Final = "00000000-0000-4000-b000-000000000000"
