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
import operator
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

import cel

from steprig.errors import SteprigError
from steprig.inngest.durations import DurationError, parse_duration, parse_time

VARIABLES: Final = frozenset({"event", "async"})

_CACHE_SIZE: Final = 4096
_NOW: Final = "now()"  # its place among the variables; no identifier can have that name
_EXACT_DOUBLE: Final = 1 << 53
_LIBRARY_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

_CONVERSIONS: Final = frozenset({"double", "int", "uint"})
_RELATIONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})


class ExpressionError(SteprigError, ValueError):
    """An expression does not compile, is not allowed where it is used, or has no value."""


@dataclass(frozen=True, slots=True)
class Absent:
    """What an expression has in place of a value: a missing key, or an error that CEL would raise."""

    reason: str
    is_error: bool = True


_MISSING: Final = Absent("no such key", is_error=False)

Env: TypeAlias = Mapping[str, Any]
Run: TypeAlias = Callable[[Env], Any]
Scopes: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; equal to any other of the same source.

    Immutable and free of state, so one may be shared by threads.
    """

    source: str
    _tree: "Node" = field(repr=False, compare=False)
    _run: Run = field(repr=False, compare=False)

    @staticmethod
    def compile(source: str) -> "Expression":
        """Compile an expression, or find it among those compiled before.

        Args:
            source: CEL over the variables ``event`` and ``async``.

        Returns:
            The compiled expression.

        Raises:
            ExpressionError: The source is not CEL, or names an unknown variable or function.
        """
        return _compile(source)

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
        return self._run({**variables, _NOW: now}) is True

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
        value = self._run({**variables, _NOW: now})
        if not isinstance(value, Absent):
            return value
        if value.is_error:
            raise ExpressionError(f"expression {self.source!r} has no value: {value.reason}")
        return False


def key_text(value: object) -> str:
    """Write the value of a key expression as the text that keys are compared by.

    Args:
        value: What `Expression.evaluate` returned.

    Returns:
        A string as it is; a number or boolean as Go's ``%v`` writes it (``1.0`` is ``1``); a list
        or map as compact JSON with sorted keys, which is steprig's own choice.
    """
    match value:
        case str():
            return value
        case bool() | None | list() | dict():
            return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case _:
            return str(value)


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
        value = _build(node)(env)
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
    for node in _walk(expression._tree):
        if found := _beyond_comparison(node):
            raise ExpressionError(
                f"cancel expression {source!r} uses {found}: expected only comparisons, &&, ||, !, ?:, in, "
                "indexing and the conversions int, uint, double"
            )
    return expression


@lru_cache(_CACHE_SIZE)
def _compile(source: str) -> Expression:
    try:
        cel.compile(source)
    except ValueError as error:
        raise ExpressionError(f"invalid expression {source!r}: {error}") from error
    try:
        tree = _Parser(source).parse()
        _check_variables(tree, VARIABLES, source)
        return Expression(source, tree, _build(tree))
    except RecursionError as error:
        raise ExpressionError(f"invalid expression {source[:80]!r}...: nested too deeply") from error


# --- Syntax -------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
      | (?P<string>[rRbB]{0,2}(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_BINARY_LEVELS: Final = (
    _RELATIONS,
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the source; ``text`` is empty at its end."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of an expression.

    ``value`` is the kind's own part: a literal's value, the name of a variable, field, function
    or operator; for a macro its name and its bound variable.
    """

    kind: str
    value: Any
    parts: tuple["Node", ...]
    start: int
    end: int


class _Parser:
    """Builds the tree of a source that the library has accepted already.

    So anything unexpected here is syntax that Inngest has no use for (messages, for instance).
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = list(self._tokenize())
        self._next = 0

    def parse(self) -> Node:
        tree = self._ternary()
        if self._peek.text:
            raise self._unsupported()
        return tree

    def _tokenize(self) -> Iterator[Token]:
        position = 0
        while position < len(self._source):
            match = self._match_token(position)
            if match.lastgroup != "space":
                yield Token(str(match.lastgroup), match[0], position, match.end())
            position = match.end()
        yield Token("end", "", position, position)

    def _match_token(self, position: int) -> re.Match[str]:
        match = _TOKEN.match(self._source, position)
        if match is None:
            raise ExpressionError(f"invalid expression {self._source!r}: unexpected text at offset {position}")
        return match

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _accept(self, text: str) -> bool:
        token = self._peek
        if token.text != text or token.kind == "string":
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> Token:
        if not self._accept(text):
            raise self._unsupported()
        return self._tokens[self._next - 1]

    def _unsupported(self) -> ExpressionError:
        token = self._peek
        return ExpressionError(
            f"invalid expression {self._source!r}: {token.text or 'the end'!r} at offset {token.start} is not supported"
        )

    def _node(self, kind: str, value: Any, parts: tuple[Node, ...], start: int) -> Node:
        return Node(kind, value, parts, start, self._tokens[self._next - 1].end)

    def _ternary(self) -> Node:
        condition = self._or()
        if not self._accept("?"):
            return condition
        chosen = self._or()
        self._expect(":")
        return self._node("ternary", None, (condition, chosen, self._ternary()), condition.start)

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._at_sign_of(level):
            sign = self._take().text
            parts = (left, self._binary(level + 1))
            left = self._node("binary", sign, parts, left.start)
        return left

    def _connected(self, sign: str, operand: Callable[[], Node]) -> Node:
        """All operands of a chain of ``&&`` or ``||`` at once: hundreds of them nest no deeper than two."""
        operands = [operand()]
        while self._accept(sign):
            operands.append(operand())
        if len(operands) == 1:
            return operands[0]
        return self._node("connective", sign, tuple(operands), operands[0].start)

    def _or(self) -> Node:
        return self._connected("||", self._and)

    def _and(self) -> Node:
        return self._connected("&&", lambda: self._binary(0))

    def _at_sign_of(self, level: int) -> bool:
        return self._peek.kind in ("sign", "word") and self._peek.text in _BINARY_LEVELS[level]

    def _unary(self) -> Node:
        token = self._peek
        if not (self._accept("!") or self._accept("-")):
            return self._postfix(self._primary())
        if token.text == "-" and self._peek.kind == "number":
            # One literal, as the least integer has no positive counterpart.
            return self._postfix(self._literal(f"-{self._take().text}", token.start))
        operand = self._unary()
        return self._node("unary", token.text, (operand,), token.start)

    def _literal(self, text: str, start: int) -> Node:
        try:
            return self._node("literal", cel.evaluate(text), (), start)
        except _LIBRARY_ERRORS as error:
            raise ExpressionError(f"invalid expression {self._source!r}: {error}") from error

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._accept("."):
                node = self._selected(node)
            elif self._accept("["):
                key = self._ternary()
                self._expect("]")
                node = self._node("index", None, (node, key), node.start)
            else:
                return node

    def _selected(self, target: Node) -> Node:
        name = self._take().text
        if not self._accept("("):
            return self._node("select", name, (target,), target.start)
        arguments = self._arguments(")")
        if name not in _MACRO_ARITY:
            self._check_call(name, arguments, _METHOD_ARITY)
            return self._node("method", name, (target, *arguments), target.start)
        self._check_call(name, arguments, _MACRO_ARITY)
        bound, *bodies = arguments
        return self._node("macro", (name, bound.value), (target, *bodies), target.start)

    def _primary(self) -> Node:
        token = self._take()
        if token.kind in ("string", "number"):
            return self._literal(token.text, token.start)
        if token.kind == "word":
            return self._word(token)
        if token.text == "(":
            inner = self._ternary()
            self._expect(")")
            return self._node("group", None, (inner,), token.start)
        if token.text == "[":
            return self._node("list", None, self._arguments("]"), token.start)
        if token.text == "{":
            return self._node("map", None, self._entries(), token.start)
        self._next -= 1
        raise self._unsupported()

    def _word(self, token: Token) -> Node:
        if token.text in _CONSTANTS:
            return self._node("literal", _CONSTANTS[token.text], (), token.start)
        if not self._accept("("):
            return self._node("name", token.text, (), token.start)
        arguments = self._arguments(")")
        self._check_call(token.text, arguments, _ARITY)
        if token.text == "has":
            return self._node("has", arguments[0].value, arguments[0].parts, token.start)
        kind = "method" if token.text == "matches" else "call"  # the library has it as a method only
        return self._node(kind, token.text, arguments, token.start)

    def _check_call(self, name: str, arguments: tuple[Node, ...], arity: Mapping[str, tuple[int, ...]]) -> None:
        if name not in arity:
            expected = f"expected one of {', '.join(sorted(arity))}"
            raise ExpressionError(f"invalid expression {self._source!r}: unknown function {name!r}; {expected}")
        if len(arguments) not in arity[name]:
            expected = f"expected {' or '.join(map(str, arity[name]))} arguments, found {len(arguments)}"
            raise ExpressionError(f"invalid expression {self._source!r}: {name}() {expected}")

    def _arguments(self, closing: str) -> tuple[Node, ...]:
        arguments = []
        while not self._accept(closing):
            arguments.append(self._ternary())
            if not self._accept(","):
                self._expect(closing)
                break
        return tuple(arguments)

    def _entries(self) -> tuple[Node, ...]:
        entries: list[Node] = []
        while not self._accept("}"):
            entries.append(self._ternary())
            self._expect(":")
            entries.append(self._ternary())
            if not self._accept(","):
                self._expect("}")
                break
        return tuple(entries)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for part in node.parts:
        yield from _walk(part)


def _check_variables(node: Node, known: frozenset[str], source: str) -> None:
    if node.kind == "name" and node.value not in known:
        raise ExpressionError(
            f"invalid expression {source!r}: unknown variable {node.value!r}; expected {' or '.join(sorted(known))}"
        )
    for part, names in _scoped_parts(node, known):
        _check_variables(part, names, source)


def _scoped_parts(node: Node, names: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Each part with the names that are bound in it: a macro binds its variable in its bodies."""
    bound = names | {node.value[1]} if node.kind == "macro" else names
    for place, part in enumerate(node.parts):
        yield part, bound if place else names


def _event_references(node: Node, bound: frozenset[str]) -> Iterator[Node]:
    """The widest nodes that depend on ``event`` alone, and read no more than one path of it."""
    if "event" not in bound and _root(node) == "event":
        yield node
        return
    for part, names in _scoped_parts(node, bound):
        yield from _event_references(part, names)


def _root(node: Node) -> str | None:
    path = _static_path(node.parts[0] if node.kind == "has" else node)
    return path[0] if path else None


def _static_path(node: Node) -> tuple[str, tuple[Any, ...]] | None:
    """A variable and the literal keys that lead on from it, as in ``event.data['x'].l[0]``."""
    if node.kind == "name":
        return node.value, ()
    if node.kind not in ("select", "index"):
        return None
    above = _static_path(node.parts[0])
    if above is None:
        return None
    if node.kind == "select":
        return above[0], (*above[1], node.value)
    key = node.parts[1]
    return (above[0], (*above[1], key.value)) if key.kind == "literal" else None


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
        case "binary" if node.value not in _RELATIONS:
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
            return repr(_double(value))
        case list():
            return f"[{', '.join(map(_literal_source, value))}]"
        case dict():
            return f"{{{', '.join(f'{_literal_source(k)}: {_literal_source(v)}' for k, v in value.items())}}}"
    raise ExpressionError(f"expected a JSON value in the event, found {type(value).__name__}")


# --- Values -------------------------------------------------------------------------------------


class _Int(int):
    """A CEL int inside a list or map, where a plain `int` is an event's number, hence a double."""


def _double(value: Any) -> Any:
    """A number as read from an event: a double unless that would lose digits."""
    if type(value) is int and -_EXACT_DOUBLE <= value <= _EXACT_DOUBLE:
        return float(value)
    return value


def _kept(value: Any) -> Any:
    return _Int(value) if type(value) is int else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by value across types, all else only within its own type."""
    if isinstance(left, str) or left is None:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _truthy(value: Any) -> bool:
    """What ``&&`` and ``||`` take for true. Inngest follows JavaScript here, lists and maps included."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list | dict):
        return True
    return not isinstance(value, Absent) and bool(value)


def _lookup(container: Any, key: Any) -> Any:
    if type(container) is dict:
        return _double(container.get(key, _MISSING)) if not isinstance(key, list | dict) else _MISSING
    if isinstance(container, list) and _is_number(key) and float(key).is_integer() and 0 <= key < len(container):
        return _double(container[int(key)])
    return _MISSING


# --- Operators ----------------------------------------------------------------------------------


def _equals(left: Any, right: Any) -> bool:
    """A missing value equals null and nothing else, not even another missing value."""
    if isinstance(left, Absent):
        return right is None
    if isinstance(right, Absent):
        return left is None
    return _equal(left, right)


def _differs(left: Any, right: Any) -> bool:
    return not _equals(left, right)


def _ordering(sign: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def ordered(left: Any, right: Any) -> Any:
        if isinstance(left, Absent) or isinstance(right, Absent):
            return False
        left, right = _null_as_zero(left, right), _null_as_zero(right, left)
        if _comparable(left, right):
            return compare(left, right)
        return Absent(f"{_type_name(left)} {sign} {_type_name(right)} is not defined")

    return ordered


def _null_as_zero(value: Any, other: Any) -> Any:
    """Before an order is decided, null becomes the zero of the other operand's type."""
    if value is None and (isinstance(other, str) or _is_number(other)):
        return type(other)()
    return value


def _comparable(left: Any, right: Any) -> bool:
    if _is_number(left):
        return _is_number(right)
    return type(left) is type(right) and isinstance(left, str | bytes | bool | datetime | timedelta)


def _within(item: Any, container: Any) -> Any:
    if isinstance(item, Absent) or isinstance(container, Absent):
        return False
    if isinstance(container, list):
        return any(_equal(item, element) for element in container)
    if isinstance(container, dict):
        return isinstance(item, str | int | float) and item in container
    return Absent(f"'in' needs a list or map, found {_type_name(container)}")


def _add(left: Any, right: Any) -> Any:
    """A missing operand counts as nothing; operands of two types are written one after the other.

    So ``'user-' + event.data.id`` is a usable key, and ``event.data.x + 1`` is text and equal to no number.
    """
    if left is _MISSING or right is _MISSING:
        other = right if left is _MISSING else left
        return False if other is _MISSING else other
    if isinstance(left, Absent) or isinstance(right, Absent):
        return left if isinstance(left, Absent) else right
    result = _library("_0 + _1", left, right)
    if isinstance(result, Absent) and type(left) is not type(right):
        return key_text(left) + key_text(right)
    return result


def _arithmetic(sign: str) -> Callable[[Any, Any], Any]:
    def computed(left: Any, right: Any) -> Any:
        return _or_false(f"_0 {sign} _1", left, right)

    return computed


def _type_name(value: Any) -> str:
    return "null" if value is None else type(value).__name__.lstrip("_").lower()


_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": _equals,
    "!=": _differs,
    "<": _ordering("<", operator.lt),
    "<=": _ordering("<=", operator.le),
    ">": _ordering(">", operator.gt),
    ">=": _ordering(">=", operator.ge),
    "in": _within,
    "+": _add,
    "-": _arithmetic("-"),
    "*": _arithmetic("*"),
    "/": _arithmetic("/"),
    "%": _arithmetic("%"),
}


# --- Functions ----------------------------------------------------------------------------------


@lru_cache(_CACHE_SIZE)
def _program(source: str) -> cel.Program:
    return cel.compile(source)


def _library(source: str, *arguments: Any) -> Any:
    """Let the library compute one operation over ``_0``, ``_1``, ..."""
    try:
        return _program(source).execute({f"_{place}": value for place, value in enumerate(arguments)})
    except _LIBRARY_ERRORS as error:
        return Absent(str(error))


def _or_false(source: str, *arguments: Any) -> Any:
    """The same, except that an operation on a missing value is false."""
    return False if _any_absent(arguments) else _library(source, *arguments)


def _any_absent(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Absent) for value in values)


def _size(value: Any) -> Any:
    return 0 if isinstance(value, Absent) else _library("size(_0)", value)


def _string(value: Any) -> Any:
    # The library converts neither booleans nor, as it should not, null.
    return json.dumps(value) if isinstance(value, bool) else _or_false("string(_0)", value)


def _bool(value: Any) -> Any:
    try:
        return value if isinstance(value, bool) else cel.stdlib.bool_(value)
    except ValueError as error:
        return Absent(str(error))


def _b64decode(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return ""


def _json_parse(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _on_text(function: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Inngest's own text functions take anything but text for the empty string."""

    def applied(value: Any) -> Any:
        return False if isinstance(value, Absent) else function(value if isinstance(value, str) else "")

    return applied


def _date(value: Any) -> Any:
    """Times before 2000 are no times; larger numbers are seconds, milliseconds or nanoseconds by size."""
    if isinstance(value, Absent):
        return False
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _date_of_text(value)
    if not _is_number(value) or value < 946_684_800:
        return Absent(f"date() expected a time, found {value!r}")
    unit = 1 if value < 1e10 else 1e3 if value < 1e13 else 1e9
    try:
        return datetime.fromtimestamp(value / unit, UTC)
    except (OverflowError, OSError, ValueError) as error:
        return Absent(f"date() of {value!r}: {error}")


def _date_of_text(text: str) -> Any:
    try:
        return parse_time(text)
    except DurationError as error:
        reason = str(error)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return Absent(reason)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _shifted(now: datetime, text: Any, sign: int) -> Any:
    if not isinstance(text, str):
        return False if isinstance(text, Absent) else Absent(f"expected a duration, found {_type_name(text)}")
    try:
        return now + parse_duration(text) * sign
    except (DurationError, OverflowError) as error:
        return Absent(str(error))


_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "b64decode": _on_text(_b64decode),
    "bool": _bool,
    "date": _date,
    "json_parse": _on_text(_json_parse),
    "lowercase": _on_text(str.lower),
    "size": _size,
    "string": _string,
    "uppercase": _on_text(str.upper),
}
_TIME_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "now": lambda now: now,
    "now_minus": lambda now, text: _shifted(now, text, -1),
    "now_plus": lambda now, text: _shifted(now, text, 1),
}


# How many arguments each function, method (beside its target) and macro takes.
_LIBRARY_FUNCTIONS: Final = ("bytes", "double", "duration", "dyn", "int", "timestamp", "uint")
_ARITY: Final = {
    **dict.fromkeys((*_LIBRARY_FUNCTIONS, *_FUNCTIONS, *_TIME_FUNCTIONS), (1,)),
    "has": (1,),
    "matches": (2,),
    "now": (0,),
}
_DATE_METHODS: Final = ("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth")
_CLOCK_METHODS: Final = ("getHours", "getMilliseconds", "getMinutes", "getSeconds")
_METHOD_ARITY: Final = {
    **dict.fromkeys(("contains", "endsWith", "matches", "startsWith"), (1,)),
    **dict.fromkeys(_DATE_METHODS + _CLOCK_METHODS, (0, 1)),  # the one argument is a time zone
    "size": (0,),
}
_MACRO_ARITY: Final = {**dict.fromkeys(("all", "exists", "exists_one", "existsOne", "filter"), (2,)), "map": (2, 3)}


# --- From tree to closure -----------------------------------------------------------------------


def _build(node: Node) -> Run:
    return _BUILDERS[node.kind](node)


def _build_literal(node: Node) -> Run:
    return _build_constant(node.value)


def _build_constant(value: Any) -> Run:
    return lambda _env: value


def _build_path(node: Node) -> Run:
    path = _static_path(node)
    if path is None:
        return _build_step(node)
    root, keys = path

    def read(env: Env) -> Any:
        value = env.get(root, _MISSING)
        for key in keys:
            value = value.get(key, _MISSING) if type(value) is dict else _lookup(value, key)
        return float(value) if type(value) is int and -_EXACT_DOUBLE <= value <= _EXACT_DOUBLE else value

    return read


def _build_step(node: Node) -> Run:
    container = _build(node.parts[0])
    key = _build(node.parts[1]) if node.kind == "index" else _build_constant(node.value)
    return lambda env: _lookup(container(env), key(env))


def _build_has(node: Node) -> Run:
    container, key = _build(node.parts[0]), node.value

    def present(env: Env) -> bool:
        found = container(env)
        return isinstance(found, dict) and key in found

    return present


def _build_group(node: Node) -> Run:
    return _build(node.parts[0])


def _build_binary(node: Node) -> Run:
    left, right = map(_build, node.parts)
    apply = _OPERATORS[node.value]
    return lambda env: apply(left(env), right(env))


def _build_connective(node: Node) -> Run:
    """The first operand that decides is the value, or else the last: ``event.data.a || 'none'`` is a key."""
    operands = [_build(part) for part in node.parts]
    decisive = node.value == "||"

    def connect(env: Env) -> Any:
        value: Any = None
        for operand in operands:
            value = operand(env)
            if _truthy(value) is decisive:
                break
        return value

    return connect


def _build_unary(node: Node) -> Run:
    operand = _build(node.parts[0])
    if node.value == "-":
        return lambda env: _or_false("-_0", operand(env))

    def negated(env: Env) -> Any:
        value = operand(env)
        if isinstance(value, bool):
            return not value
        # The dev server answers false for any function of a missing value, and `!` is a function.
        return False if isinstance(value, Absent) else Absent(f"'!' needs a boolean, found {_type_name(value)}")

    return negated


def _build_ternary(node: Node) -> Run:
    condition, chosen, otherwise = map(_build, node.parts)

    def choose(env: Env) -> Any:
        value = condition(env)
        if isinstance(value, bool):
            return chosen(env) if value else otherwise(env)
        return value if isinstance(value, Absent) else Absent(f"'?:' needs a boolean, found {_type_name(value)}")

    return choose


def _build_list(node: Node) -> Run:
    items = [_build(part) for part in node.parts]

    def collect(env: Env) -> Any:
        values = [_kept(item(env)) for item in items]
        return next((value for value in values if isinstance(value, Absent)), values)

    return collect


def _build_map(node: Node) -> Run:
    parts = [_build(part) for part in node.parts]
    pairs = list(zip(parts[::2], parts[1::2], strict=True))

    def collect(env: Env) -> Any:
        entries: dict[Any, Any] = {}
        for key, value in pairs:
            name, item = key(env), _kept(value(env))
            if isinstance(name, Absent) or isinstance(item, Absent):
                return name if isinstance(name, Absent) else item
            if not isinstance(name, str | int | float):
                return Absent(f"a map's key cannot be a {_type_name(name)}")
            entries[name] = item
        return entries

    return collect


def _build_call(node: Node) -> Run:
    arguments = [_build(part) for part in node.parts]
    if node.value in _TIME_FUNCTIONS:
        return _build_time_call(_TIME_FUNCTIONS[node.value], arguments)
    function = _FUNCTIONS.get(node.value)
    if function is not None:
        (argument,) = arguments
        return lambda env: function(argument(env))
    source = f"{node.value}({', '.join(f'_{place}' for place in range(len(arguments)))})"
    return lambda env: _or_false(source, *[argument(env) for argument in arguments])


def _build_time_call(function: Callable[..., Any], arguments: list[Run]) -> Run:
    def call(env: Env) -> Any:
        now = env[_NOW]
        if now is None:
            raise ExpressionError("the expression asks for the current time: pass now=")
        return function(now, *[argument(env) for argument in arguments])

    return call


def _build_method(node: Node) -> Run:
    target, *arguments = map(_build, node.parts)
    if node.value == "size" and not arguments:
        return lambda env: _size(target(env))
    source = f"_0.{node.value}({', '.join(f'_{place + 1}' for place in range(len(arguments)))})"
    return lambda env: _or_false(source, target(env), *[argument(env) for argument in arguments])


def _build_macro(node: Node) -> Run:
    name, variable = node.value
    target, *bodies = map(_build, node.parts)
    fold = _FOLDS[name]

    def run(env: Env) -> Any:
        items = target(env)
        if isinstance(items, Absent):
            return items
        if not isinstance(items, list | dict):
            return Absent(f"'{name}' needs a list or map, found {_type_name(items)}")
        scopes = [{**env, variable: item} for item in items]
        return fold(variable, scopes, *bodies)

    return run


def _exists(_variable: str, scopes: Scopes, body: Run) -> Any:
    return _decided_by(True, [body(scope) for scope in scopes])


def _all(_variable: str, scopes: Scopes, body: Run) -> Any:
    return _decided_by(False, [body(scope) for scope in scopes])


def _decided_by(decisive: bool, results: list[Any]) -> Any:
    """As with ``||`` and ``&&``, one decisive element settles it, whatever error another one has."""
    if any(result is decisive for result in results):
        return decisive
    return _first_not_boolean(results) or (not decisive)


def _exists_one(_variable: str, scopes: Scopes, body: Run) -> Any:
    results = [body(scope) for scope in scopes]
    return _first_not_boolean(results) or results.count(True) == 1


def _filter(variable: str, scopes: Scopes, condition: Run) -> Any:
    results = [condition(scope) for scope in scopes]
    kept = [scope[variable] for scope, result in zip(scopes, results, strict=True) if result is True]
    return _first_not_boolean(results) or kept


def _map(variable: str, scopes: Scopes, *bodies: Run) -> Any:
    """Both forms: ``map(x, value)`` and ``map(x, condition, value)``."""
    *conditions, transform = bodies
    for condition in conditions:
        results = [condition(scope) for scope in scopes]
        if failure := _first_not_boolean(results):
            return failure
        scopes = [scope for scope, result in zip(scopes, results, strict=True) if result]
    values = [_kept(transform(scope)) for scope in scopes]
    return next((value for value in values if isinstance(value, Absent)), values)


def _first_not_boolean(results: list[Any]) -> Absent | None:
    for result in results:
        if isinstance(result, Absent):
            return result
        if not isinstance(result, bool):
            return Absent(f"a macro's condition needs a boolean, found {_type_name(result)}")
    return None


_FOLDS: Final[dict[str, Callable[..., Any]]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "filter": _filter,
    "map": _map,
}
_BUILDERS: Final[dict[str, Callable[[Node], Run]]] = {
    "binary": _build_binary,
    "call": _build_call,
    "connective": _build_connective,
    "group": _build_group,
    "has": _build_has,
    "index": _build_path,
    "list": _build_list,
    "literal": _build_literal,
    "macro": _build_macro,
    "map": _build_map,
    "method": _build_method,
    "name": _build_path,
    "select": _build_path,
    "ternary": _build_ternary,
    "unary": _build_unary,
}
