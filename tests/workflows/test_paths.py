"""Paths into what a node gave."""

import pytest

from steprig.workflows.paths import MISSING, find, unwrapped


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ({"result": {"n": 1}}, {"n": 1}),
        ({"result": 1, "other": 2}, {"result": 1, "other": 2}),
        ({"other": 2}, {"other": 2}),
        ([1], [1]),
    ],
)
def test_only_a_result_alone_is_taken_out_of_its_wrapping(output, value):
    assert unwrapped(output) == value


@pytest.mark.parametrize(
    ("output", "path", "value"),
    [
        ({"result": {"a": {"b": 1}}}, "a.b", 1),
        ({"result": {"a": {"b": 1}}}, "result.a.b", 1),
        ({"a": {"b": 1}}, "result.a.b", 1),
        ({"result": {"result": {"a": 1}, "a": 2}}, "result.a", 1),
        ({"result": {"a.b": 1, "a": {"b": 2}}}, "a.b", 1),
        ({"result": {"rows": [5, 6]}}, "rows.1", 6),
        ({"result": {"rows": [5, 6]}}, "rows.2", MISSING),
        ({"result": {"rows": "56"}}, "rows.1", MISSING),
        ({"result": {"a": None}}, "a", None),
        ({"result": {"a": None}}, "a.b", MISSING),
    ],
)
def test_a_path_leads_into_the_result_and_a_key_called_result_in_it_goes_first(output, path, value):
    assert find(output, path) == value
