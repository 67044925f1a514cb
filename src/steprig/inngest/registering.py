"""Having an app register with a dev server that is not in this process."""

import httpx

_SHOWN = 500
"""How many characters of an answer messages show."""


def ask_to_register(url: str, *, timeout: float) -> None:
    """Have the app whose SDK serves at `url` register, with the dev server that its client is made for.

    An app in development mode does so when it is sent a PUT, whoever sends it.

    Args:
        url: Such as `http://127.0.0.1:8000/api/inngest`.
        timeout: In seconds.

    Raises:
        SyncError: It did not; the error says what it answered.
    """
    # Not above: it comes with the embedded server, which those who only use another need not load.
    from steprig.inngest.syncing import SyncError

    try:
        answer = httpx.put(url, json={"url": url}, timeout=timeout, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SyncError(url, "unreachable", f"{type(error).__name__} {error}") from error
    if not answer.is_success:
        raise SyncError(url, f"status {answer.status_code}", answer.text[:_SHOWN])
    if (refusal := _refusal(answer)) is not None:
        raise SyncError(url, "registration_failed", refusal)


def _refusal(answer: httpx.Response) -> str | None:
    """What the dev server said to the app, if it has refused: the SDK passes it on with a status of 200."""
    try:
        body = answer.json()
    except ValueError:
        return None
    return str(body["error"])[:_SHOWN] if isinstance(body, dict) and body.get("error") else None
