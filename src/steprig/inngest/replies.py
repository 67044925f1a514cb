"""How an SDK answered a call, whatever carried the answer."""

import msgspec

from steprig.inngest.wire import UNREADABLE


class Reply(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    """As in HTTP: 200 the run has ended, 206 opcodes, anything else an error."""
    body: bytes
    is_sdk: bool = True
    """False when the answer does not come from an SDK but from something in front of it."""
    no_retry: bool = False
    retry_after: str | None = None
    version: int = 2
    """The SDK's request version."""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """All of them, where HTTP carried it."""


class NoReply(msgspec.Struct, frozen=True):
    """There was no answer, or none that could be taken."""

    reason: str
    """What users are shown."""
    name: str = "Error"


def unwrapped(reply: Reply) -> Reply:
    """A streamed reply (201: keep-alive white space, then the real one in an envelope) as a plain one."""
    if reply.status != 201:
        return reply
    try:
        envelope = _ENVELOPE.decode(reply.body.strip())
    except UNREADABLE:
        return msgspec.structs.replace(reply, status=502)
    headers = {name.lower(): value for name, value in envelope.headers.items()}
    return msgspec.structs.replace(
        reply,
        status=envelope.status,
        body=_inner_body(envelope.body),
        no_retry=headers.get("x-inngest-no-retry", str(reply.no_retry)).lower() == "true",
        retry_after=headers.get("retry-after", reply.retry_after),
    )


class _Envelope(msgspec.Struct):
    status: int
    body: msgspec.Raw
    headers: dict[str, str] = {}


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def _inner_body(body: msgspec.Raw) -> bytes:
    if bytes(body)[:1] == b'"':
        return msgspec.json.decode(body, type=str).encode()
    return bytes(body)
