"""From what an SDK says of its app to an `App`, or to what is wrong with it (Inngest SDK spec 4.3)."""

import hashlib

import msgspec

from steprig.errors import SteprigError
from steprig.inngest.function_rules import complaints
from steprig.inngest.functions import App, AppName, Function
from steprig.inngest.wire import UNREADABLE, checked

_MEMBERS = dict[str, msgspec.Raw]


class RegistrationError(SteprigError, ValueError):
    """An app cannot be registered; nothing of it is. The text begins as the dev server's does."""


class _Sent(msgspec.Struct, kw_only=True):
    """The body of `POST /fn/register`, and of an in-band answer, with keys in lower case."""

    appname: str = ""
    app_id: str = ""
    appversion: str | None = None
    framework: str | None = None
    functions: list[Function] = []
    sdk: str = ""
    sdk_language: str = ""
    sdk_version: str = ""
    url: str = ""


def app_in(body: bytes) -> App:
    """The app that an SDK registers.

    Args:
        body: What it sends to `/fn/register`, or answers to an in-band sync.

    Raises:
        RegistrationError: The body is bad; the message names the function and the field.
    """
    try:
        # Keys are matched whatever their case: the spec says appName, the Python SDK sends appname.
        members = {key.lower(): value for key, value in msgspec.json.decode(checked(body), type=_MEMBERS).items()}
        sent = msgspec.json.decode(msgspec.json.encode(members), type=_Sent)
    except UNREADABLE as error:
        raise RegistrationError(f"Invalid request: {error}") from error
    name = sent.appname or sent.app_id
    if not name:
        raise RegistrationError("App ID required")
    for function in sent.functions:
        for complaint in complaints(function):
            raise RegistrationError(f"At least one function is invalid: {function.id!r}: {complaint}")
    return _app(AppName(name), sent, body)


def _app(name: AppName, sent: _Sent, body: bytes) -> App:
    language, _, version = sent.sdk.partition(":")
    return App(
        name=name,
        url=sent.url,
        functions=tuple(sent.functions),
        sdk_language=sent.sdk_language or language,
        sdk_version=sent.sdk_version or version,
        framework=sent.framework,
        version=sent.appversion,
        checksum=hashlib.sha256(body).hexdigest(),
    )
