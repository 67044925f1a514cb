"""From the tree of an expression to nested closures, which evaluate it in about a microsecond."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from steprig.inngest.cel_operators import (
    EXACT_DOUBLE,
    FUNCTIONS,
    MISSING,
    OPERATORS,
    TIME_FUNCTIONS,
    Absent,
    kept,
    lookup,
    or_false,
    size,
    truthy,
    type_name,
)
from steprig.inngest.cel_syntax import ExpressionError, Node, static_path

NOW: Final = "now()"  # its place among the variables; no identifier can have that name
Env: TypeAlias = Mapping[str, Any]
Run: TypeAlias = Callable[[Env], Any]
Scopes: TypeAlias = list[dict[str, Any]]


def build(node: Node) -> Run:
    return _BUILDERS[node.kind](node)


def _build_literal(node: Node) -> Run:
    return _build_constant(node.value)


def _build_constant(value: Any) -> Run:
    return lambda _env: value


def _build_path(node: Node) -> Run:
    path = static_path(node)
    if path is None:
        return _build_step(node)
    root, keys = path

    def read(env: Env) -> Any:
        value = env.get(root, MISSING)
        for key in keys:
            value = value.get(key, MISSING) if type(value) is dict else lookup(value, key)
        return float(value) if type(value) is int and -EXACT_DOUBLE <= value <= EXACT_DOUBLE else value

    return read


def _build_step(node: Node) -> Run:
    container = build(node.parts[0])
    key = build(node.parts[1]) if node.kind == "index" else _build_constant(node.value)
    return lambda env: lookup(container(env), key(env))


def _build_has(node: Node) -> Run:
    container, key = build(node.parts[0]), node.value

    def present(env: Env) -> bool:
        found = container(env)
        return isinstance(found, dict) and key in found

    return present


def _build_group(node: Node) -> Run:
    return build(node.parts[0])


def _build_binary(node: Node) -> Run:
    left, right = map(build, node.parts)
    apply = OPERATORS[node.value]
    return lambda env: apply(left(env), right(env))


def _build_connective(node: Node) -> Run:
    """The first operand that decides is the value, or else the last: ``event.data.a || 'none'`` is a key."""
    operands = [build(part) for part in node.parts]
    decisive = node.value == "||"

    def connect(env: Env) -> Any:
        value: Any = None
        for operand in operands:
            value = operand(env)
            if truthy(value) is decisive:
                break
        return value

    return connect


def _build_unary(node: Node) -> Run:
    operand = build(node.parts[0])
    if node.value == "-":
        return lambda env: or_false("-_0", operand(env))

    def negated(env: Env) -> Any:
        value = operand(env)
        if isinstance(value, bool):
            return not value
        # The dev server answers false for any function of a missing value, and `!` is a function.
        return False if isinstance(value, Absent) else Absent(f"'!' needs a boolean, found {type_name(value)}")

    return negated


def _build_ternary(node: Node) -> Run:
    condition, chosen, otherwise = map(build, node.parts)

    def choose(env: Env) -> Any:
        value = condition(env)
        if isinstance(value, bool):
            return chosen(env) if value else otherwise(env)
        return value if isinstance(value, Absent) else Absent(f"'?:' needs a boolean, found {type_name(value)}")

    return choose


def _build_list(node: Node) -> Run:
    items = [build(part) for part in node.parts]

    def collect(env: Env) -> Any:
        values = [kept(item(env)) for item in items]
        return next((value for value in values if isinstance(value, Absent)), values)

    return collect


def _build_map(node: Node) -> Run:
    parts = [build(part) for part in node.parts]
    pairs = list(zip(parts[::2], parts[1::2], strict=True))

    def collect(env: Env) -> Any:
        entries: dict[Any, Any] = {}
        for key, value in pairs:
            name, item = key(env), kept(value(env))
            if isinstance(name, Absent) or isinstance(item, Absent):
                return name if isinstance(name, Absent) else item
            if not isinstance(name, str | int | float):
                return Absent(f"a map's key cannot be a {type_name(name)}")
            entries[name] = item
        return entries

    return collect


def _build_call(node: Node) -> Run:
    arguments = [build(part) for part in node.parts]
    if node.value in TIME_FUNCTIONS:
        return _build_time_call(TIME_FUNCTIONS[node.value], arguments)
    function = FUNCTIONS.get(node.value)
    if function is not None:
        (argument,) = arguments
        return lambda env: function(argument(env))
    source = f"{node.value}({', '.join(f'_{place}' for place in range(len(arguments)))})"
    return lambda env: or_false(source, *[argument(env) for argument in arguments])


def _build_time_call(function: Callable[..., Any], arguments: list[Run]) -> Run:
    def call(env: Env) -> Any:
        now = env[NOW]
        if now is None:
            raise ExpressionError("the expression asks for the current time: pass now=")
        return function(now, *[argument(env) for argument in arguments])

    return call


def _build_method(node: Node) -> Run:
    target, *arguments = map(build, node.parts)
    if node.value == "size" and not arguments:
        return lambda env: size(target(env))
    source = f"_0.{node.value}({', '.join(f'_{place + 1}' for place in range(len(arguments)))})"
    return lambda env: or_false(source, target(env), *[argument(env) for argument in arguments])


def _build_macro(node: Node) -> Run:
    name, variable = node.value
    target, *bodies = map(build, node.parts)
    fold = _FOLDS[name]

    def run(env: Env) -> Any:
        items = target(env)
        if isinstance(items, Absent):
            return items
        if not isinstance(items, list | dict):
            return Absent(f"'{name}' needs a list or map, found {type_name(items)}")
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
    values = [kept(transform(scope)) for scope in scopes]
    return next((value for value in values if isinstance(value, Absent)), values)


def _first_not_boolean(results: list[Any]) -> Absent | None:
    for result in results:
        if isinstance(result, Absent):
            return result
        if not isinstance(result, bool):
            return Absent(f"a macro's condition needs a boolean, found {type_name(result)}")
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
