"""Expressions as the dev server evaluates them: its table row by row, then what surrounds it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprig.inngest.expressions import (
    Expression,
    ExpressionError,
    key_text,
    substitute,
    validate_cancel_expression,
)

DATA = {"x": 1, "n": None, "s": "abc", "l": [1, 2], "b": True, "d": 1.5, "m": {"k": "v"}, "items": [{"a": 1}, {"c": 2}]}
EVENT: dict[str, Any] = {"name": "shop/order", "data": DATA, "user": {}, "id": "01", "ts": 1_767_322_800_000}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def matches(source: str, event: object = EVENT) -> bool:
    return Expression.compile(source).matches(event=event, now=NOW)


def evaluate(source: str) -> object:
    return Expression.compile(source).evaluate(event=EVENT, now=NOW)


@pytest.mark.parametrize(
    "source",
    [
        "event.data.x == 1",
        "event.data.x > 0",
        "event.data.x in [1,2]",
        "event.data['x'] == 1",
        'event.data["x"] == 1',
        "event['data'].x == 1",
        "event.data.l[0] == 1",
        "event.data.d == 1.5",
        "event.data.n == null",
        "event.data.b",
    ],
)
def test_a_present_key_compares(source: str) -> None:
    assert matches(source)


@pytest.mark.parametrize(
    "source",
    [
        "event.data.zz == 1",
        "event.data.zz > 1",
        "event.data.zz >= 1",
        "event.data.zz < 1",
        "event.data.zz <= 1",
        "1 < event.data.zz",
        "1 > event.data.zz",
        "event.data.q.w.e == 'a'",
        "event.data['q']['w'] == 'a'",
        "event.data.x.y == 1",
        "event.data.s.y == 1",
        "event.data.n.y == 1",
        "event.data.l[7] == 1",
        "event.data.l[-1] == 2",
        "event.data.l['0'] == 1",
        "event.data.m[event.data.zz] == 1",
        "event.data.zz[0] == 1",
        "event.data.zz == event.data.yy",
        "event.data.zz in [1]",
        "1 in event.data.zz",
        "event.data.zz.contains('b')",
        "event.data.zz.exists(i, i == 1)",
        "lowercase(event.data.zz) == 'a'",
        "event.data.zz",
        "event.data.zz && true",
        "event.data.zz ? true : true",
        "event.data.zz != null",
        "async.data.x == 1",
    ],
)
def test_a_missing_key_makes_a_comparison_false(source: str) -> None:
    assert not matches(source)


@pytest.mark.parametrize(
    "source",
    [
        "event.data.zz != 1",
        "event.data.zz == null",
        "null == event.data.zz",
        "event.data.q.w.e == null",
        "event.data.zz == 1 || event.data.x == 1",
        "event.data.x == 1 || event.data.zz == 1",
        "event.data.zz > 1 || event.data.x == 1",
        "event.data.zz || event.data.x == 1",
        "!(event.data.zz == 1)",
        "!(event.data.zz > 1)",
        "(event.data.zz > 1) == false",
        "event.data.zz > 1 ? false : true",
        "size(event.data.zz) == 0",
        "!(event.data.zz in [1])",
    ],
)
def test_around_a_missing_key_the_rest_still_counts(source: str) -> None:
    assert matches(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("has(event.data.x)", True),
        ("has(event.data.n)", True),
        ("has(event.data.zz)", False),
        ("!has(event.data.zz)", True),
        ("has(event.data.q.w)", False),
        ("has(event.data.s.y)", False),
        ("has(event.data.m.k)", True),
    ],
)
def test_has_tells_whether_a_key_is_there(source: str, expected: bool) -> None:
    assert evaluate(source) is expected


@pytest.mark.parametrize(
    "source",
    [
        "event.data.s.contains('b')",
        "event.data.s.startsWith('a')",
        "event.data.s.endsWith('c')",
        "event.data.s.matches('^a')",
        "matches(event.data.s, '^a')",
        "size(event.data.l) == 2",
        "event.data.l.size() == 2",
        "event.data.l.exists(i, i == 2)",
        "event.data.l.all(i, i > 0)",
        "event.data.l.exists_one(i, i == 2)",
        "event.data.l.filter(i, i > 1) == [2]",
        "event.data.l.map(i, i * 2.0) == [2, 4]",
        "event.data.l.map(i, i > 1, i * 2.0) == [4]",
        "event.data.m.exists(k, k == 'k')",
        "event.data.x == 1 ? true : false",
        "event.data.x == 2 ? false : event.data.x == 1 ? true : false",
        "!(event.data.x == 2)",
        "!!event.data.b",
        "lowercase('ABC') == event.data.s",
        "uppercase(event.data.s) == 'ABC'",
        "b64decode('YWJj') == event.data.s",
        'json_parse(\'{"a": {"b": 1}}\').a.b == 1',
        "string(event.data.x) == '1'",
        "string(event.data.b) == 'true'",
        "int(event.data.d) == 1",
        "int('12') == 12",
        "double('1.5') == event.data.d",
        "uint(event.data.x) == 1u",
        "bool('true')",
        "date('2024-05-01') > date('2020-05-01T00:00:00Z')",
        "date('2026-01-02T03:04:05') == now()",
        "date(event.ts) == date(1767322800)",
        "date(1767322800000000000) == date('2026-01-02T03:00:00Z')",
        "date(timestamp('2024-01-01T00:00:00Z')) == date('Mon, 01 Jan 2024 00:00:00 GMT')",
        "timestamp('2024-01-01T00:00:00Z').getFullYear() == 2024",
        "now_plus('1h') > now()",
        "now_minus('1h') < now()",
        "now_plus('1d') - now() == duration('24h')",
        "'k' in event.data.m",
        "event.data.m == {'k': 'v'}",
        'event.name == "shop/order"',
    ],
)
def test_operators_functions_and_macros_work(source: str) -> None:
    assert matches(source)


@pytest.mark.parametrize(
    "source",
    [
        "event.data.s > 1",
        "event.data.s < 1",
        "event.data.x + 1 == 2",
        "event.data.x == '1'",
        "event.data.b == 1",
        "event.data.b in [1]",
        "event.data.l == [1, true]",
        "-event.data.s == 1",
        "event.data.x % 2.0 == 1",
        "int('x') == 0",
        "event.data.s.matches('(')",
        "date('tomorrow') > date('2020-01-01')",
        "1 in 'abc'",
        "event.data.l.exists(i, i)",
        "!event.data.s",
        "event.data.s ? true : true",
    ],
)
def test_mixed_types_are_false(source: str) -> None:
    assert not matches(source)


def test_a_double_is_added_to_a_double() -> None:
    assert matches("event.data.x + 1.0 == 2")


@pytest.mark.parametrize("source", ["event.data.s", "event.data.x", "event.data.l", "event", "event.data.n", "'true'"])
def test_only_the_boolean_true_matches(source: str) -> None:
    assert not matches(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.data.n != 1", True),
        ("event.data.n == 1", False),
        ("event.data.n > 0", False),
        ("event.data.n >= 0", True),
        ("event.data.n < 'a'", True),
        ("0.5 > event.data.n", True),
        ("event.data.n > event.data.n", False),
    ],
)
def test_null_is_ordered_as_the_zero_of_the_other_type(source: str, expected: bool) -> None:
    assert matches(source) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.data.items.exists(i, i.a == 1)", True),
        ("event.data.items.exists(i, i.c == 2)", True),
        ("event.data.items.exists(i, i.c == 3)", False),
        ("event.data.items.all(i, i.c == 2)", False),
        ("event.data.items.exists(i, i.s > 1 || i.c == 2)", True),
        ("event.data.items.exists(i, i.a + 'x' > 5 || true)", True),
        ("event.data.l.exists(event, event == 2)", True),
        ("event.data.l.exists(i, event.data.l.exists(j, i + j == 4.0))", True),
        ("event.data.l.exists(event, event == 2) && event.data.x == 1", True),
    ],
)
def test_macros_tolerate_what_elements_lack_and_bind_their_own_names(source: str, expected: bool) -> None:
    assert matches(source) is expected


@pytest.mark.parametrize(
    "source",
    [
        "event.data.x==1&&event.data.b",
        " event . data . x\n ==\t1 // a comment",
        "event.data.s == r'abc' && r'\\d' == '\\\\d'",
        "'''a\nb''' == 'a\\nb'",
        "'\\u00e9' == 'é'",
        "\"it's\" == 'it\\'s'",
        "event.data['s'] == \"abc\" && '&& || (' != ')'",
        "(event.data).x == 1",
        "((event.data.x) == (1))",
        "1 - 1 - 1 == -1",
        "2 + 3 * 4 == 14 && (2 + 3) * 4 == 20",
        "true || false && false",
        "- 1 < 0x10 && 1e3 == 1000 && .5 == 0.5",
        "[1, 2,][1] == 2 && {'a': 1}.a == 1",
        "{'a': 1}.a + 1 == 2 && [1][0] + 1 == 2",
        "event.data.l[event.data.x] == 2",
        "event.data.m['k'] == 'v' && event.data[event.data.s == 'abc' ? 'x' : 'y'] == 1",
    ],
)
def test_the_syntax_of_cel_is_understood(source: str) -> None:
    assert matches(source)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "Syntax error"),
        ("event.data.x ==", "Syntax error"),
        ("event.data.x = 1", "Syntax error"),
        ("event.data.x == 'a", "Syntax error"),
        ("a.b(", "Syntax error"),
        ("foo.bar == 1", "unknown variable 'foo'; expected async or event"),
        ("event.data.l.exists(i, j == 1)", "unknown variable 'j'"),
        ("event.data.l.exists(i, i == 1) && i == 1", "unknown variable 'i'"),
        ("frobnicate(event.data.x)", "unknown function 'frobnicate'; expected one of b64decode,"),
        ("event.data.s.lowercase()", "unknown function 'lowercase'; expected one of contains,"),
        ("now(1)", "now() expected 0 arguments, found 1"),
        ("now_plus()", "now_plus() expected 1 arguments, found 0"),
        ("event.data.l.exists(i)", "exists() expected 2 arguments, found 1"),
        ("event.data.l.map(i)", "map() expected 2 or 3 arguments, found 1"),
        ("event.data.s.contains()", "contains() expected 1 arguments, found 0"),
        ("has()", "has() expected 1 arguments, found 0"),
        ("has(event)", "invalid argument to has() macro"),
        ("9223372036854775808 == 1", "invalid int literal"),
        ("-1u == 1", ""),
        ("Message{a: 1}", "not supported"),
        (".event.data.x == 1", "not supported"),
    ],
)
def test_what_does_not_compile_is_named_with_the_complaint(source: str, complaint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.compile(source)
    assert repr(source) in str(caught.value)
    assert complaint in str(caught.value)


def test_an_expression_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ExpressionError, match="nested too deeply"):
        Expression.compile("!" * 5000 + "true")


@pytest.mark.parametrize("sign", ["&&", "||"])
def test_a_chain_may_be_long(sign: str) -> None:
    chain = f" {sign} ".join(f"event.data.x {'<' if sign == '&&' else '=='} {limit}" for limit in range(900, 1, -1))
    assert matches(chain) is (sign == "&&")


NUMBERS = st.sampled_from(["event.data.x", "event.data.d", "event.data.l[1]", "0", "1", "2.5", "-1"])
TEXTS = st.sampled_from(["event.data.s", "event.name", "'abc'", '"b"', "''"])
RELATION = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
FUNCTIONS = ["!", "-", "size", "string", "int", "date", "lowercase", "b64decode", "json_parse", "bool", "timestamp"]
TOKENS = [
    *"()[]{}.,?:!-+*/%<>",
    *["&&", "||", "==", "!=", "<=", " in ", "1", "2.5", "'s'", "null", "true", "1e308", "-1", "double('nan')"],
    *["event", "event.data", "event.data.x", "event.data.l", "event.data.s", "event.data.zz", "async", "i"],
    *["has(", ".exists(i,", ".map(i,", ".filter(i,", "size(", "string(", "date(", "now()", "now_plus(", "json_parse("],
]


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_any_text_is_a_usable_expression_or_an_expression_error(source: str) -> None:
    try:
        expression = Expression.compile(source)
    except ExpressionError:
        return
    assert expression.matches(event=EVENT, now=NOW) in (True, False)


VALUES = st.sampled_from(
    [
        *[f"event.data.{key}" for key in ("x", "l", "s", "m", "n", "zz", "b")],
        *["1", "-2.5", "'a'", "null", "[1]", "{'a': 1}", "now()", "duration('1h')", "double('nan')", "1e300", "b'x'"],
    ]
)
OPERATIONS = st.recursive(
    VALUES,
    lambda inner: (
        st.builds("({} {} {})".format, inner, RELATION | st.sampled_from([*"+-*/%", "in", "&&", "||"]), inner)
        | st.builds("{}[{}]".format, VALUES, inner)
        | st.builds("{{{}: {}}}".format, inner, inner)
        | st.builds("{}({})".format, st.sampled_from(FUNCTIONS), inner)
        | st.builds("{}.{}(i, {})".format, VALUES, st.sampled_from(["exists", "all", "map", "filter"]), inner)
    ),
    max_leaves=6,
)


@given(OPERATIONS)
def test_an_operation_on_anything_has_a_value_or_says_that_it_has_none(source: str) -> None:
    expression = Expression.compile(source)
    assert expression.matches(event=EVENT, now=NOW) in (True, False)
    try:
        value = expression.evaluate(event=EVENT, now=NOW)
    except ExpressionError as error:
        assert "has no value" in str(error)  # noqa: PT017 -- either outcome is fine, a third is not
    else:
        assert isinstance(key_text(value), str)


def test_expressions_of_one_source_are_one() -> None:
    first = Expression.compile("event.data.x == 1")
    assert Expression.compile("event.data.x == 1") is first
    assert {first: "found"}[Expression.compile("event.data.x == 1")] == "found"
    assert first != Expression.compile("event.data.x == 2")


def test_both_events_are_compared() -> None:
    same = Expression.compile("event.data.id == async.data.id")
    assert same.matches(event={"data": {"id": 7}}, **{"async": {"data": {"id": 7.0}}})
    assert not same.matches(event={"data": {"id": 7}}, **{"async": {"data": {"id": 8}}})


def test_an_integer_beyond_a_double_keeps_its_digits() -> None:
    event = {"data": {"id": 2**53 + 1}}
    assert matches(f"event.data.id == {2**53 + 1}", event)
    assert not matches(f"event.data.id == {2**53}", event)


def test_time_comes_from_the_argument_alone() -> None:
    assert evaluate("now()") == NOW
    assert evaluate("now_plus('1h30m')") == NOW + timedelta(minutes=90)
    assert evaluate("now_minus('1w')") == NOW - timedelta(weeks=1)


def test_without_the_argument_there_is_no_time() -> None:
    with pytest.raises(ExpressionError, match="pass now="):
        Expression.compile("now() > date('2020-01-01')").matches(event=EVENT)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.data.s", "abc"),
        ("event.data.x", "1"),
        ("event.data.d", "1.5"),
        ("event.data.b", "true"),
        ("event.data.n", "null"),
        ("event.data.l", "[1,2]"),
        ("event.data.m", '{"k":"v"}'),
        ("event.ts", "1767322800000"),
        ("'user-' + event.data.s", "user-abc"),
        ("'user-' + event.data.x", "user-1"),
        ("event.data.s + event.data.zz", "abc"),
        ("event.data.zz", "false"),
        ("event.data.zz || 'none'", "none"),
        ("event.data.s || 'none'", "abc"),
        ("event.data.x == 1 ? 'one' : 'more'", "one"),
        ("string(event.data.x) + '-' + event.data.s", "1-abc"),
        ("size(event.data.l)", "2"),
    ],
)
def test_a_keys_value_is_written_as_text(source: str, expected: str) -> None:
    assert key_text(evaluate(source)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e20, "100000000000000000000"), (1e21, "1e+21"), (0.1, "0.1"), (-2.0, "-2"), (2**60, "1152921504606846976")],
)
def test_numbers_are_written_as_go_writes_them(value: float, expected: str) -> None:
    assert key_text(value) == expected


def test_the_literal_false_and_a_missing_key_both_switch_a_key_off() -> None:
    assert evaluate("false") is False
    assert evaluate("event.data.zz") is False


def test_a_key_without_a_value_names_the_expression() -> None:
    with pytest.raises(ExpressionError, match=r"'event\.data\.s > 1' has no value: str > int is not defined"):
        evaluate("event.data.s > 1")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.data.x == async.data.k", "1.0 == async.data.k"),
        ("async.data.k == event.data.d", "async.data.k == 1.5"),
        ("async.data.k == event.data['s']", 'async.data.k == "abc"'),
        ("async.data.k == event.data.l[1]", "async.data.k == 2.0"),
        ("async.data.k in event.data.l", "async.data.k in [1.0, 2.0]"),
        ("async.data == event.data.m", 'async.data == {"k": "v"}'),
        ("event.data.b && event.data.n == async.data.k", "true && null == async.data.k"),
        ("event.data.s.contains(async.data.k)", '"abc".contains(async.data.k)'),
        ("has(event.data.x) && !has(event.data.zz)", "true && !false"),
        ("async.data.k == event.data.zz", "async.data.k == event.data.zz"),
        ("'event.data.x' == async.data.k", "'event.data.x' == async.data.k"),
        ("async.data.event.data.x == 1", "async.data.event.data.x == 1"),
        ("async.data.l.exists(event, event.data == 1)", "async.data.l.exists(event, event.data == 1)"),
        ("event.data.l.exists(event, event == async.data.k)", "[1.0, 2.0].exists(event, event == async.data.k)"),
        ("event.data.m[async.data.k] == 'v'", '{"k": "v"}[async.data.k] == \'v\''),
        ("event.data[event.data.s] == async.data.k", None),
    ],
)
def test_event_references_become_literals(source: str, expected: str | None) -> None:
    literal = substitute(source, EVENT)
    if expected is not None:
        assert literal == expected
    candidate = {"async": {"data": {"k": 1}}}
    assert Expression.compile(literal).matches(**candidate) is Expression.compile(source).matches(
        event=EVENT, **candidate
    )


def test_a_wait_displays_the_number_it_waits_for() -> None:
    event = {"data": {"k": 7}}
    assert substitute("async.data.k == event.data.k", event) == "async.data.k == 7.0"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_substitution_keeps_the_meaning(mine: object, other: object) -> None:
    event, candidate = {"data": {"k": mine}}, {"async": {"data": {"k": other}}}
    for source in ("event.data.k == async.data.k", "event.data.k < async.data.k", "async.data.k in [event.data.k]"):
        literal = Expression.compile(substitute(source, event))
        assert literal.matches(**candidate) is Expression.compile(source).matches(event=event, **candidate)


@given(JSON)
def test_a_value_equals_itself_and_only_its_like(value: object) -> None:
    event = {"data": {"k": value, "copy": json.loads(json.dumps(value)), "wrapped": [value]}}
    assert matches("event.data.k == event.data.copy && event.data.k in event.data.wrapped", event)
    assert not matches("event.data.k == event.data.wrapped || event.data.k != event.data.copy", event)


COMPARISONS = (
    st.builds("{} {} {}".format, NUMBERS, RELATION, NUMBERS)
    | st.builds("{} {} {}".format, TEXTS, RELATION, TEXTS)
    | st.builds("{} in [{}, {}]".format, NUMBERS, NUMBERS, NUMBERS)
    | st.builds("{}.contains({})".format, TEXTS, TEXTS)
    | st.builds("event.data.l.exists(i, i {} {})".format, RELATION, NUMBERS)
    | st.sampled_from(["true", "false", "event.data.b", "has(event.data.n)", "has(event.data.zz)"])
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds("{} && {}".format, inner, inner)
        | st.builds("{} || {}".format, inner, inner)
        | st.builds("!({})".format, inner)
        | st.builds("({})".format, inner)
        | st.builds("({}) ? ({}) : {}".format, inner, inner, inner)
    ),
    max_leaves=6,
)


@given(CONDITIONS)
def test_where_cel_has_an_answer_it_is_the_same(source: str) -> None:
    assert evaluate(source) is cel.evaluate(source, {"event": EVENT})


@given(CONDITIONS)
def test_a_condition_is_indifferent_to_being_substituted(source: str) -> None:
    assert Expression.compile(substitute(source, EVENT)).matches() is matches(source)


@pytest.mark.parametrize(
    "source",
    [
        "event.data.id == async.data.id",
        "async.data.x > 1 && async.data.x <= 5 || !(async.data.y != 'a')",
        "async.data.x in [1, 2, -3]",
        "async.data['x'][0] == event.data.l[1]",
        "async.data.x ? true : false",
        "int(async.data.x) == 1 && uint(async.data.y) == 1u && double(async.data.z) == 1.0",
    ],
)
def test_a_cancel_expression_may_compare(source: str) -> None:
    assert validate_cancel_expression(source) == Expression.compile(source)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("async.data.s.startsWith('a')", "the function 'startsWith'"),
        ("size(async.data.l) == 2", "the function 'size'"),
        ("string(async.data.x) == '1'", "the function 'string'"),
        ("lowercase(async.data.s) == 'a'", "the function 'lowercase'"),
        ("async.data.x == 1 || has(async.data.zz)", "the macro 'has'"),
        ("async.data.l.exists(i, i == 2)", "the macro 'exists'"),
        ("[async.data.l.all(i, i == 2)][0]", "the macro 'all'"),
        ("async.data.x + 1.0 == 2.0", "arithmetic ('+')"),
        ("async.data.x == 5 % 2", "arithmetic ('%')"),
        ("-async.data.x == 1", "arithmetic ('-')"),
    ],
)
def test_a_cancel_expression_must_not_compute(source: str, found: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        validate_cancel_expression(source)
    assert f"{source!r} uses {found}" in str(caught.value)


def test_a_cancel_expression_must_compile() -> None:
    with pytest.raises(ExpressionError, match="Syntax error"):
        validate_cancel_expression("async.data.x ==")
