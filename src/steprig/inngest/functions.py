"""Apps and functions as SDKs register them (Inngest SDK spec 4.3)."""

from typing import Literal, NewType

import msgspec

from steprig.inngest.limits import DEFAULT_RETRIES, MAX_RETRIES

Slug = NewType("Slug", str)
"""A function's id across apps: `<app id>-<function id>`."""

AppName = NewType("AppName", str)


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what SDKs send: unknown keys are ignored, as the dev server does."""


class Trigger(Wire, frozen=True, kw_only=True):
    """What starts a function: an event by name, or a cron expression."""

    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: str | None = None


class Retries(Wire, frozen=True, kw_only=True):
    """How often a failed step or function is tried again."""

    attempts: int | None = None


class Runtime(Wire, frozen=True, kw_only=True):
    """Where a function is called."""

    type: Literal["http", "ws"]
    url: str


class StepConfig(Wire, frozen=True, kw_only=True):
    """The one entry point of a function."""

    id: str
    name: str
    runtime: Runtime
    retries: Retries | None = None


class Concurrency(Wire, frozen=True, kw_only=True):
    """How many calls may be in flight at once; 0 for any number."""

    limit: int
    key: str | None = None
    scope: Literal["fn", "env", "account"] = "fn"


class Throttle(Wire, frozen=True, kw_only=True):
    """How many runs may start in a period; more wait."""

    limit: int
    period: str
    burst: int = 0
    key: str | None = None


class RateLimit(Wire, frozen=True, kw_only=True):
    """How many runs may start in a period; more are dropped."""

    limit: int
    period: str
    key: str | None = None


class Debounce(Wire, frozen=True, kw_only=True):
    """How long events have to be quiet before the last of them starts a run."""

    period: str
    key: str | None = None
    timeout: str | None = None


class Batch(Wire, frozen=True, kw_only=True):
    """How events are gathered into one run."""

    max_size: int
    timeout: str = ""
    key: str | None = None
    condition: str | None = msgspec.field(name="if", default=None)


class Priority(Wire, frozen=True, kw_only=True):
    """An expression for how many seconds earlier a run counts as queued."""

    run: str | None = None


class Singleton(Wire, frozen=True, kw_only=True):
    """One run at a time; a new event is skipped or cancels the run."""

    mode: Literal["skip", "cancel"]
    key: str | None = None


class Cancel(Wire, frozen=True, kw_only=True):
    """An event that cancels runs."""

    event: str
    condition: str | None = msgspec.field(name="if", default=None)
    timeout: str | None = None


class Timeouts(Wire, frozen=True, kw_only=True):
    """How long a run may wait for its start and take to its end."""

    start: str | None = None
    finish: str | None = None


class Function(Wire, frozen=True, kw_only=True):
    """A function as registered."""

    id: Slug
    name: str = ""
    triggers: tuple[Trigger, ...] = ()
    steps: dict[str, StepConfig] = {}
    concurrency: int | Concurrency | tuple[Concurrency, ...] | None = None
    throttle: Throttle | None = None
    rate_limit: RateLimit | None = None
    debounce: Debounce | None = None
    batch_events: Batch | None = None
    priority: Priority | None = None
    singleton: Singleton | None = None
    idempotency: str | None = None
    cancel: tuple[Cancel, ...] | None = None
    timeouts: Timeouts | None = None

    @property
    def entry(self) -> StepConfig:
        """The step to call. Registration has checked that there is exactly one."""
        return next(iter(self.steps.values()))

    @property
    def max_attempts(self) -> int:
        """How often a step is tried at most, the first try included."""
        retries = self.entry.retries
        if retries is None or retries.attempts is None:
            return DEFAULT_RETRIES + 1
        return max(0, min(retries.attempts, MAX_RETRIES)) + 1

    @property
    def concurrency_limits(self) -> tuple[Concurrency, ...]:
        """`concurrency`, in whichever of its three forms: a number, one limit, or several."""
        match self.concurrency:
            case None:
                return ()
            case int(limit):
                return (Concurrency(limit=limit),)
            case Concurrency() as limit:
                return (limit,)
            case limits:
                return limits


class App(Wire, frozen=True, kw_only=True):
    """An app as registered: where its SDK serves, and its functions."""

    name: AppName
    url: str
    functions: tuple[Function, ...]
    sdk_language: str = ""
    sdk_version: str = ""
    framework: str | None = None
    version: str | None = None
    checksum: str = ""
    method: Literal["SERVE", "CONNECT", "API"] = "SERVE"

    def function(self, slug: str) -> Function | None:
        """The function with this id."""
        return next((function for function in self.functions if function.id == slug), None)
