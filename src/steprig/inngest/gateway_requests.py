"""The requests that steps ask the server to make: how each opcode words one."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from steprig.inngest.decision import Decision
from steprig.inngest.opcodes import AIGatewayOptions, GatewayOptions, Op
from steprig.inngest.records import GatewayRequest, GatewayStarted, Job


def start(decision: Decision, job: Job, op: Op) -> None:
    """A step asks for a request to be made. Raises msgspec.ValidationError when it does not say to where."""
    is_ai = op.op == "AIGateway"
    request = _ai_request(op.options(AIGatewayOptions)) if is_ai else _request(op.options(GatewayOptions))
    if urlsplit(request.url).scheme not in ("http", "https"):
        raise msgspec.ValidationError(f"its URL is {request.url!r}; expected one with http or https")
    decision.add(GatewayStarted(step=op.id, title=op.title, races=op.races, request=request, job=job, is_ai=is_ai))


def title(name: str) -> str:
    """The name of a header as Go writes it: there are proxies that look at the case."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _ai_request(options: AIGatewayOptions) -> GatewayRequest:
    url, headers = options.url, [("Content-Type", "application/json")]
    match options.format:
        case "gemini":
            url = _with_key(url, options.auth_key)
        case "anthropic":
            headers.append(("X-Api-Key", options.auth_key))
        case "bedrock":
            headers.append(("Authorization", options.auth_key))
        case _:
            headers.append(("Authorization", f"Bearer {options.auth_key}"))
    return GatewayRequest("POST", url, (*headers, *_titled(options.headers)), bytes(options.body))


def _request(options: GatewayOptions) -> GatewayRequest:
    return GatewayRequest(
        options.method or "POST", options.url, _titled(options.headers), (options.body or "").encode()
    )


def _titled(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((title(name), value) for name, value in (headers or {}).items())


def _with_key(url: str, key: str) -> str:
    """The URL with a key in its query, where an SDK may have put it already."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "key"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("key", key)])))
