"""The tree of an expression: CEL's grammar, for sources that the library has accepted already."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cel

from steprig.errors import SteprigError
from steprig.inngest.cel_operators import FUNCTIONS, LIBRARY_ERRORS, TIME_FUNCTIONS

RELATIONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})


class ExpressionError(SteprigError, ValueError):
    """An expression does not compile, is not allowed where it is used, or has no value."""


# How many arguments each function, method (beside its target) and macro takes.
_LIBRARY_FUNCTIONS: Final = ("bytes", "double", "duration", "dyn", "int", "timestamp", "uint")
_ARITY: Final = {
    **dict.fromkeys((*_LIBRARY_FUNCTIONS, *FUNCTIONS, *TIME_FUNCTIONS), (1,)),
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
    RELATIONS,
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


class Parser:
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
        except LIBRARY_ERRORS as error:
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


def walk(node: Node) -> Iterator[Node]:
    yield node
    for part in node.parts:
        yield from walk(part)


def check_variables(node: Node, known: frozenset[str], source: str) -> None:
    if node.kind == "name" and node.value not in known:
        raise ExpressionError(
            f"invalid expression {source!r}: unknown variable {node.value!r}; expected {' or '.join(sorted(known))}"
        )
    for part, names in scoped_parts(node, known):
        check_variables(part, names, source)


def scoped_parts(node: Node, names: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Each part with the names that are bound in it: a macro binds its variable in its bodies."""
    bound = names | {node.value[1]} if node.kind == "macro" else names
    for place, part in enumerate(node.parts):
        yield part, bound if place else names


def static_path(node: Node) -> tuple[str, tuple[Any, ...]] | None:
    """A variable and the literal keys that lead on from it, as in ``event.data['x'].l[0]``."""
    if node.kind == "name":
        return node.value, ()
    if node.kind not in ("select", "index"):
        return None
    above = static_path(node.parts[0])
    if above is None:
        return None
    if node.kind == "select":
        return above[0], (*above[1], node.value)
    key = node.parts[1]
    return (above[0], (*above[1], key.value)) if key.kind == "literal" else None
