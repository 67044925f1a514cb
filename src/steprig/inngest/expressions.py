"""Expressions (CEL) as the Inngest dev server evaluates them: a missing key never raises.

The Common Expression Language says that an operation on a missing key, or on operands of the wrong
type, is an error, and that an error makes the whole expression fail. Inngest gives most of those
errors a value instead: ``event.data.missing == 1`` is false, ``event.data.missing != 1`` is true.
No CEL program can say that, as an error cannot be caught inside of one. So the work is divided:

- The library ``cel`` decides what is an expression at all (its complaint is what the user reads),
  reads literals, and performs arithmetic, conversions and every standard function.
- Paths, comparisons, connectives and macros are compiled here, into nested Python closures that hand
  on `Absent` where CEL would fail. They are the bulk of every real expression, need no conversion of
  the event to CEL values (only arguments of a library call are converted), and take about a
  microsecond. What an operator makes of `Absent` is said at that operator.

Numbers in events are doubles, as in the server, except that an integer which a double cannot hold
keeps all its digits. Literals such as ``1`` are CEL ints. The two compare by value, but do not add:
``event.data.x + 1`` concatenates (see `_add`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import cel

from steprig.inngest.cel_closures import NOW, Run, build
from steprig.inngest.cel_operators import CACHE_SIZE, Absent, double, key_text
from steprig.inngest.cel_syntax import (
    RELATIONS,
    ExpressionError,
    Node,
    Parser,
    check_variables,
    scoped_parts,
    static_path,
    walk,
)

__all__ = ["VARIABLES", "Expression", "ExpressionError", "key_text", "substitute", "validate_cancel_expression"]
VARIABLES: Final = frozenset({"event", "async"})
_CONVERSIONS: Final = frozenset({"double", "int", "uint"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; equal to any other of the same source.

    Immutable and free of state, so one may be shared by threads.
    """

    source: str
    _tree: "Node" = field(repr=False, compare=False)
    _run: Run = field(repr=False, compare=False)

    @staticmethod
    def compile(source: str, variables: frozenset[str] = VARIABLES) -> "Expression":
        """Compile an expression, or find it among those compiled before.

        Args:
            source: CEL over the variables.
            variables: The names that it may use, by default ``event`` and ``async``.

        Returns:
            The compiled expression.

        Raises:
            ExpressionError: The source is not CEL, or names an unknown variable or function.
        """
        return _compile(source, variables)

    def matches(self, *, now: datetime | None = None, **variables: object) -> bool:
        """Whether the expression is true: the rule for triggers, waits and batch conditions.

        Args:
            now: The time that ``now()``, ``now_plus()`` and ``now_minus()`` start from.
            variables: ``event``, ``async`` or both, as plain JSON values.

        Returns:
            True if the value is the boolean true; false for every other value and for an error.

        Raises:
            ExpressionError: The expression asks for the time, and ``now`` is None.
        """
        return self._run({**variables, NOW: now}) is True

    def evaluate(self, *, now: datetime | None = None, **variables: object) -> object:
        """The expression's value: the rule for keys and priorities.

        Args:
            now: As in `matches`.
            variables: As in `matches`.

        Returns:
            A JSON value, `bytes`, `datetime` or `timedelta`. A missing key is False, which
            switches a rate limit or singleton off (as on the dev server).

        Raises:
            ExpressionError: The expression has no value, because of its operands' types for instance.
        """
        value = self._run({**variables, NOW: now})
        if not isinstance(value, Absent):
            return value
        if value.is_error:
            raise ExpressionError(f"expression {self.source!r} has no value: {value.reason}")
        return False


def substitute(source: str, event: Mapping[str, object]) -> str:
    """Replace every ``event`` reference by its value, as the dev server does when a wait is stored.

    References to keys that the event lacks stay: evaluated without ``event`` they are still missing.
    The rest of the source is kept to the letter; the dev server also reformats and simplifies it.

    Args:
        source: An expression over ``event`` and ``async``.
        event: The event that triggered the run.

    Returns:
        An expression over ``async`` with the same meaning, such as ``async.data.k == 7.0``.

    Raises:
        ExpressionError: The source does not compile.
    """
    pieces, position = [], 0
    env = {"event": event}
    for node in _event_references(_compile(source)._tree, frozenset()):
        value = build(node)(env)
        if not isinstance(value, Absent):
            pieces += [source[position : node.start], _literal_source(value)]
            position = node.end
    return "".join([*pieces, source[position:]])


def validate_cancel_expression(source: str) -> Expression:
    """Compile the ``if`` of a cancellation, for which the dev server allows only plain comparisons.

    Args:
        source: Comparisons, ``&&``, ``||``, ``!``, ``?:``, ``in``, indexing and the conversions
            ``int``, ``uint`` and ``double``.

    Returns:
        The compiled expression.

    Raises:
        ExpressionError: The source does not compile, or uses a function, a macro or arithmetic.
    """
    expression = _compile(source)
    for node in walk(expression._tree):
        if found := _beyond_comparison(node):
            raise ExpressionError(
                f"cancel expression {source!r} uses {found}: expected only comparisons, &&, ||, !, ?:, in, "
                "indexing and the conversions int, uint, double"
            )
    return expression


@lru_cache(CACHE_SIZE)
def _compile(source: str, variables: frozenset[str] = VARIABLES) -> Expression:
    try:
        cel.compile(source)
    except ValueError as error:
        raise ExpressionError(f"invalid expression {source!r}: {error}") from error
    try:
        tree = Parser(source).parse()
        check_variables(tree, variables, source)
        return Expression(source, tree, build(tree))
    except RecursionError as error:
        raise ExpressionError(f"invalid expression {source[:80]!r}...: nested too deeply") from error


def _event_references(node: Node, bound: frozenset[str]) -> Iterator[Node]:
    """The widest nodes that depend on ``event`` alone, and read no more than one path of it."""
    if "event" not in bound and _root(node) == "event":
        yield node
        return
    for part, names in scoped_parts(node, bound):
        yield from _event_references(part, names)


def _root(node: Node) -> str | None:
    path = static_path(node.parts[0] if node.kind == "has" else node)
    return path[0] if path else None


def _beyond_comparison(node: Node) -> str | None:
    """What a cancel expression must not contain, if the node is such a thing."""
    match node.kind:
        case "call" if node.value not in _CONVERSIONS:
            return f"the function {node.value!r}"
        case "method":
            return f"the function {node.value!r}"
        case "macro":
            return f"the macro {node.value[0]!r}"
        case "has":
            return "the macro 'has'"
        case "binary" if node.value not in RELATIONS:
            return f"arithmetic ({node.value!r})"
        case "unary" if node.value == "-":
            return "arithmetic ('-')"
    return None


def _literal_source(value: Any) -> str:
    """Write a JSON value as CEL. JSON's own syntax is nearly that; only numbers differ."""
    match value:
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float():
            return repr(double(value))
        case list():
            return f"[{', '.join(map(_literal_source, value))}]"
        case dict():
            return f"{{{', '.join(f'{_literal_source(k)}: {_literal_source(v)}' for k, v in value.items())}}}"
    raise ExpressionError(f"expected a JSON value in the event, found {type(value).__name__}")
