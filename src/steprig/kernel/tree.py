"""A run as text: the tree of its steps, for reports and terminals."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from steprig.kernel.timeline import Failure, Run, Span

_OUTPUT_LENGTH = 80
_MESSAGE_LENGTH = 200
_STACK_LINES = 12

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def run_tree(run: Run) -> str:
    """The run and its steps, a line each, with what failed and what is waited for.

    A line has the name, the kind, the status, the modelled duration, the number of attempts where
    there was more than one, and the output, shortened. A failure stands below what failed.

    Args:
        run: From a `Timeline`.

    Returns:
        Lines of text without a newline at the end.
    """
    told = {span.failure for top in run.spans for span in top.walk()}
    details = [_failure_line(run.failure)] if run.failure is not None and run.failure not in told else []
    lines = [_run_line(run), *_below(run.spans, details)]
    return "\n".join([*lines, *_stack(run.failure)])


def duration_text(duration: timedelta) -> str:
    """A duration with its two largest units: `7 d`, `1 h 30 min`, `2.5 s`, `12 ms`."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts, left = [], round(seconds)
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(index for index, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def _run_line(run: Run) -> str:
    took = _took(run.started_at or run.queued_at, run.ended_at)
    return _join([run.name, run.status, took, _output(run), f"[{run.platform} run {run.id}]"])


def _span_line(span: Span) -> str:
    took = _took(span.started_at or span.queued_at, span.ended_at)
    tries = f"{span.attempts} attempts" if span.attempts > 1 else ""
    kind = "" if span.kind == "attempt" or span.kind.lower() == span.name.lower() else f"({span.kind})"
    return _join([span.name or span.id, kind, span.status, took, tries, _output(span)])


def _below(spans: Sequence[Span], details: Sequence[str] = ()) -> Iterator[str]:
    """The lines below a parent: its own details, then its children with a branch to each."""
    for detail in details:
        yield f"{'│' if spans else ' '} {detail}"
    for index, span in enumerate(spans):
        is_last = index == len(spans) - 1
        yield f"{'└─' if is_last else '├─'} {_span_line(span)}"
        for line in _below(_children(span), _details(span)):
            yield f"{' ' if is_last else '│'}  {line}"


def _children(span: Span) -> Sequence[Span]:
    """A single attempt says nothing that its step does not say."""
    if len(span.children) == 1 and span.children[0].kind == "attempt" and span.status.ended:
        return span.children[0].children
    return span.children


def _details(span: Span) -> list[str]:
    shown = {child.failure for child in _children(span)}
    details = [_failure_line(span.failure)] if span.failure is not None and span.failure not in shown else []
    if not span.status.ended:
        details += [
            f"{name}: {_short(_plain(value), _OUTPUT_LENGTH)}"
            for name, value in span.attributes.items()
            if value is not None
        ]
    return details


def _failure_line(failure: Failure) -> str:
    first, *rest = failure.message.strip().splitlines() or [""]
    return _short(f"{failure.name}: {first}", _MESSAGE_LENGTH) + (" …" if rest else "")


def _stack(failure: Failure | None) -> list[str]:
    if failure is None or not failure.stack:
        return []
    lines = failure.stack.rstrip().splitlines()
    left_out = [f"    … {len(lines) - _STACK_LINES} lines"] if len(lines) > _STACK_LINES else []
    return [*left_out, *(f"    {line}" for line in lines[-_STACK_LINES:])]


def _took(started: datetime, ended: datetime | None) -> str:
    return f"since {started:%Y-%m-%d %H:%M:%S}" if ended is None else duration_text(ended - started)


def _output(source: Run | Span) -> str:
    if source.output is None or source.failure is not None:
        return ""  # a platform may give the failure as the output, too
    text = bytes(source.output).decode(errors="replace")
    return "" if text == "null" else f"→ {_short(' '.join(text.split()), _OUTPUT_LENGTH)}"


def _plain(value: object) -> str:
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _join(parts: Sequence[str]) -> str:
    return "  ".join(part for part in parts if part)
