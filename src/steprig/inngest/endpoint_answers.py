"""What endpoints answer to those who have asked them."""

from http import HTTPStatus
from typing import Final

import msgspec

from steprig.inngest.events import NULL
from steprig.inngest.problems import as_sent

_NO_STATUS: Final = 600


class Answer(msgspec.Struct, frozen=True):
    """An HTTP response, as an SDK tells of it."""

    status: int
    headers: dict[str, str] = {}
    body: str = ""


class _Wrapped(msgspec.Struct, frozen=True):
    data: Answer


def answer_in(data: msgspec.Raw) -> Answer | None:
    """The answer that this JSON is; None where it is none."""
    try:
        answer = _ANSWER.decode(data)
    except msgspec.ValidationError:
        return None
    return answer if HTTPStatus.OK <= answer.status < _NO_STATUS else None


def content_of(data: msgspec.Raw) -> msgspec.Raw:
    """What is in an answer, wrapped in `data` or not. Whatever is no answer stays as it is."""
    answer = answer_in(_unwrapped(data))
    if answer is None:
        return data
    return as_sent(answer.body.encode()) if answer.body else NULL


def _unwrapped(data: msgspec.Raw) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.json.encode(_WRAPPED.decode(data).data))
    except msgspec.ValidationError:
        return data


_ANSWER = msgspec.json.Decoder(Answer)
_WRAPPED = msgspec.json.Decoder(_Wrapped)
