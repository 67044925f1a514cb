"""What an SDK answers to a call: opcodes, outputs and errors (Inngest SDK spec 4.4 and 5)."""

from typing import Literal, NewType, TypeVar

import msgspec

from steprig.inngest.wire import checked

StepId = NewType("StepId", str)
"""The hashed id of a step; `step` stands for no step in particular."""

DISCOVERY = StepId("step")

OpName = Literal[
    "None",
    "Step",
    "StepRun",
    "StepError",
    "StepFailed",
    "StepPlanned",
    "Sleep",
    "WaitForEvent",
    "InvokeFunction",
    "AIGateway",
    "Gateway",
    "WaitForSignal",
    "RunComplete",
    "SyncRunComplete",
    "DiscoveryRequest",
    "DeferAdd",
    "DeferAbort",
]


class UserError(msgspec.Struct, frozen=True):
    """An error as an SDK reports it."""

    name: str = "Error"
    message: str = ""
    stack: str | None = None
    code: str | None = None


class Options(msgspec.Struct, frozen=True, rename="camel"):
    """Base of what an opcode carries beside its data."""

    parallel_mode: str | None = None


class SleepOptions(Options, frozen=True, rename="camel"):
    """Of `Sleep`: how long, where the SDK does not say it in the opcode's name."""

    duration: str | None = None


class WaitOptions(Options, frozen=True, rename="camel"):
    """Of `WaitForEvent`."""

    event: str | None = None
    condition: str | None = msgspec.field(name="if", default=None)
    timeout: str | None = None


class InvokePayload(msgspec.Struct, frozen=True):
    """What an invoked function gets."""

    data: msgspec.Raw = msgspec.Raw(b"{}")
    v: str | None = None


class InvokeOptions(Options, frozen=True):
    """Of `InvokeFunction`."""

    function_id: str = msgspec.field(name="function_id", default="")
    payload: InvokePayload = InvokePayload()
    timeout: str | None = None


class AIGatewayOptions(Options, frozen=True):
    """Of `AIGateway`: a request to a provider of models."""

    url: str = ""
    headers: dict[str, str] | None = None
    auth_key: str = msgspec.field(name="auth_key", default="")
    format: str = ""
    body: msgspec.Raw = msgspec.Raw(b"{}")


class GatewayOptions(Options, frozen=True):
    """Of `Gateway`: any other request."""

    url: str = ""
    method: str | None = None
    headers: dict[str, str] | None = None
    body: str | None = None


class SignalOptions(Options, frozen=True):
    """Of `WaitForSignal`."""

    signal: str = ""
    timeout: str | None = None
    conflict: str | None = None
    """`fail`, the default, or `replace`."""


class DeferAddOptions(Options, frozen=True):
    """Of `DeferAdd`: a function to start when the run has ended."""

    fn_slug: str = msgspec.field(name="fn_slug", default="")
    input: msgspec.Raw = msgspec.Raw(b"null")


class DeferAbortOptions(Options, frozen=True):
    """Of `DeferAbort`: which deferral is taken back."""

    target_hashed_id: StepId = msgspec.field(name="target_hashed_id", default=StepId(""))


_GROUPED = frozenset(
    {
        "Step",
        "StepRun",
        "StepFailed",
        "StepPlanned",
        "Sleep",
        "WaitForEvent",
        "InvokeFunction",
        "AIGateway",
        "Gateway",
        "WaitForSignal",
    }
)

_LAZY = frozenset({"DeferAdd", "DeferAbort"})

AnyOptions = TypeVar("AnyOptions", bound=Options)


class Op(msgspec.Struct, frozen=True, rename="camel"):
    """One opcode."""

    id: StepId
    op: OpName
    name: str | None = None
    display_name: str | None = None
    opts: msgspec.Raw = msgspec.Raw(b"null")
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def title(self) -> str:
        """The step's name as users wrote it."""
        return self.display_name or self.name or self.id

    @property
    def forms_group(self) -> bool:
        """True for a step that what comes next has to wait for. A `StepError` may still be tried again."""
        return self.op in _GROUPED

    @property
    def is_lazy(self) -> bool:
        """True for what is reported along with something else, and is no step of its own."""
        return self.op in _LAZY

    @property
    def races(self) -> bool:
        """True for a step of a parallel group in race mode."""
        return b"parallelMode" in bytes(self.opts) and self.options(Options).parallel_mode == "race"

    def options(self, kind: type[AnyOptions]) -> AnyOptions:
        """The options, all of them optional. Raises msgspec.ValidationError when they have another shape."""
        return msgspec.json.decode(self.opts, type=kind | None) or kind()


def decode_ops(body: bytes) -> list[Op]:
    """The opcodes of a 206 reply: an array, or one opcode alone.

    Raises:
        steprig.inngest.wire.UNREADABLE: The body is something else.
    """
    body = checked(body)
    if body.lstrip()[:1] == b"{":
        return [_ONE_OP.decode(body)]
    return _OPS.decode(body)


_OPS = msgspec.json.Decoder(list[Op])
_ONE_OP = msgspec.json.Decoder(Op)
