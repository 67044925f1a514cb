"""Finds a value inside a node's output by a path such as `items.0.price`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MISSING = object()


def unwrapped(output: Any) -> Any:
    """What the code of a node has set `result` to; for a node without it, all that it gave."""
    return output["result"] if isinstance(output, Mapping) and output.keys() == {"result"} else output


def find(output: Any, path: str) -> Any:
    """The value at a path, or `MISSING`.

    The path leads from the value of `result`; it may also begin with `result` itself. A key of that
    name inside the value goes first.
    """
    inner = unwrapped(output)
    for start, steps in ((inner, path), (output, path), *_without_prefix(inner, path)):
        value = _walk(start, steps)
        if value is not MISSING:
            return value
    return MISSING


def paths_in(value: Any, *, limit: int = 20) -> str:
    """The paths that there are, for messages."""
    found = [path for _, path in zip(range(limit + 1), _paths(unwrapped(value), ""), strict=False)]
    if not found:
        return f"no keys, as it is {_brief(value)}"
    return ", ".join(found[:limit]) + (", ..." if len(found) > limit else "")


def _without_prefix(inner: Any, path: str) -> list[tuple[Any, str]]:
    head, _, rest = path.partition(".")
    return [(inner, rest)] if head == "result" else []


def _walk(value: Any, path: str) -> Any:
    if not path:
        return value
    if isinstance(value, Mapping):
        return _walk_mapping(value, path)
    head, _, rest = path.partition(".")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and _is_index(head, len(value)):
        return _walk(value[int(head)], rest)
    return MISSING


def _walk_mapping(value: Mapping[Any, Any], path: str) -> Any:
    if path in value:
        return value[path]  # a key may have dots of its own
    head, dot, rest = path.partition(".")
    return _walk(value[head], rest) if dot and head in value else MISSING


def _is_index(text: str, length: int) -> bool:
    return text.isdecimal() and int(text) < length


def _paths(value: Any, prefix: str, depth: int = 3) -> Iterator[str]:
    if not isinstance(value, Mapping) or depth == 0:
        return
    for key, inner in value.items():
        yield f"{prefix}{key}"
        yield from _paths(inner, f"{prefix}{key}.", depth - 1)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
