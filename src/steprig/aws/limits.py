"""What the service accepts at most. Sizes are bytes of UTF-8, durations seconds."""

from datetime import timedelta

PAYLOAD_BYTES = 6_291_456
"""A payload: the input, a result, the state of a poll."""
CALLBACK_RESULT_BYTES = 1_048_576
CHAINED_PAYLOAD_BYTES = 1_048_576
"""What passes between a function and one that it invokes, in either direction."""
ERROR_BYTES = 32_768
"""An error object, as JSON."""

DELAY_SECONDS = range(1, 31_622_401)
"""How long a wait is, the time to the next attempt of a step, the time that an execution may take."""
CALLBACK_TIMEOUT_SECONDS = range(100_000_000)
"""0 is none."""

FIRST_PAGE_BYTES = 5 * 1024 * 1024
"""The payloads that an invocation is handed along with its input; it asks for the others."""
STATE_PAGE, STATE_PAGE_MOST = 100, 1000
HISTORY_PAGE, HISTORY_PAGE_MOST = 100, 1000

INVOCATION_BACKOFF = timedelta(seconds=5)
"""From an invocation that has failed to the next."""
INVOCATION_FAILURES = 5
"""An execution fails with its invocations when so many in a row have."""
IDLE_INVOCATIONS = 3
"""It fails, too, when so many in a row said that they wait, and for nothing."""

DELETION = timedelta(seconds=1)
"""How long an execution is DELETING until it is gone."""

ASYNCHRONOUS_PAYLOAD_BYTES = 1_048_576
"""What a function may be invoked with by `Event`."""

EXECUTIONS_PAGE, EXECUTIONS_PAGE_MOST = 100, 1000
LONGEST_PAUSE = timedelta(days=366)
"""From the start of an execution to its timeout, however long it is paused."""

EXECUTION_TIMEOUT = 300
INVOCATION_TIMEOUT = 900
CHILD_EXECUTION_TIMEOUT = 120
