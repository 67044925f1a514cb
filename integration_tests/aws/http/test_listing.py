"""`ListDurableExecutionsByFunction`: its filters, its order and its pages."""

from datetime import timedelta

import pytest

from .. import samples
from .stage import ended


@pytest.fixture
def client(server, client_of):
    """Of a server on which three executions of `f`, one of its version 2 and one of `g` have ended."""
    handlers = dict.fromkeys(("f", "f:2", "g", "idle"), samples.adds)
    client = client_of(server(handlers))
    for name, execution, right in [("f", "a", 1), ("f", "b", None), ("g", "a", 1), ("f:2", "c", 1), ("f", "d", 1)]:
        body = b'{"left": 1, "right": 1}' if right else b'{"left": 1}'
        arn = client.invoke(FunctionName=name, InvocationType="Event", DurableExecutionName=execution, Payload=body)
        ended(client, arn["DurableExecutionArn"])
    return client


def names(client, function="f", **options):
    told = client.list_durable_executions_by_function(FunctionName=function, **options)
    return [one["DurableExecutionName"] for one in told["DurableExecutions"]]


def test_the_newest_come_first_of_all_versions(client):
    assert names(client) == ["d", "c", "b", "a"]
    assert names(client, ReverseOrder=True) == ["a", "b", "c", "d"]
    assert names(client, "g") == ["a"]


def test_a_version_alone_is_listed_by_its_qualifier(client):
    assert names(client, Qualifier="2") == ["c"]
    assert names(client, "f:2") == ["c"]
    assert names(client, Qualifier="$LATEST") == ["d", "b", "a"]


def test_by_name(client):
    assert names(client, DurableExecutionName="b") == ["b"]
    assert names(client, DurableExecutionName="z") == []


def test_by_status(client):
    assert names(client, Statuses=["FAILED"]) == ["b"]
    assert names(client, Statuses=["SUCCEEDED"]) == ["d", "c", "a"]
    assert names(client, Statuses=["SUCCEEDED", "FAILED"]) == ["d", "c", "b", "a"]
    assert names(client, Statuses=["RUNNING", "TIMED_OUT", "STOPPED"]) == []


def test_by_time(client):
    told = client.list_durable_executions_by_function(FunctionName="f", ReverseOrder=True)["DurableExecutions"]
    third = told[2]["StartTimestamp"]

    # boto3 sends whole seconds.
    day = timedelta(days=1)
    assert names(client, StartedAfter=third - day) == ["d", "c", "b", "a"]
    assert names(client, StartedAfter=third + day) == []
    assert names(client, StartedBefore=third + day) == ["d", "c", "b", "a"]
    assert names(client, StartedBefore=third - day) == []


def test_by_time_to_the_microsecond(server, client_of, raw_of):
    runner = server({"f": samples.adds})
    client, raw = client_of(runner), raw_of(runner)
    for name in "abc":
        client.invoke(FunctionName="f", DurableExecutionName=name)
    url = "/2025-12-01/functions/f/durable-executions"
    second = raw.get(url).json()["DurableExecutions"][1]["StartTimestamp"]

    def found(**query):
        return [one["DurableExecutionName"] for one in raw.get(url, params=query).json()["DurableExecutions"]]

    assert found(StartedAfter=repr(second)) == ["c"]
    assert found(StartedBefore=repr(second)) == ["a"]


def test_an_entry_tells_what_it_is(client):
    one = client.list_durable_executions_by_function(FunctionName="f:2")["DurableExecutions"][0]

    assert one["FunctionArn"] == "arn:aws:lambda:us-west-2:123456789012:function:f:2"
    assert one["DurableExecutionArn"].startswith(f"{one['FunctionArn']}/durable-execution/c/")
    assert one["Status"] == "SUCCEEDED"
    assert one["EndTimestamp"] > one["StartTimestamp"]


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_show_each_execution_once(client, reverse):
    pages = client.get_paginator("list_durable_executions_by_function").paginate(
        FunctionName="f", ReverseOrder=reverse, PaginationConfig={"PageSize": 3}
    )

    sizes_and_names = [[one["DurableExecutionName"] for one in page["DurableExecutions"]] for page in pages]

    assert sizes_and_names == ([["a", "b", "c"], ["d"]] if reverse else [["d", "c", "b"], ["a"]])


def test_what_is_started_meanwhile_does_not_move_a_page(client):
    first = client.list_durable_executions_by_function(FunctionName="f", MaxItems=2)
    client.invoke(FunctionName="f", DurableExecutionName="new")

    assert names(client, MaxItems=2, Marker=first["NextMarker"]) == ["b", "a"]


def test_a_function_without_executions_has_an_empty_list(client):
    assert names(client, "idle") == []


def test_a_function_that_is_not_there_is_told_of(client):
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Function not found"):
        names(client, "none")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"Marker": "bm9uZQ=="}, "Invalid marker"),
        ({"Marker": "*"}, "Invalid marker"),
        ({"Statuses": ["DONE"]}, "Statuses must be of RUNNING, .*, not 'DONE'"),
        ({"DurableExecutionName": "a b"}, "Value 'a b' at 'durableExecutionName'"),
        ({"Qualifier": "a b"}, "Value 'a b' at 'qualifier'"),
    ],
)
def test_what_makes_no_sense_is_named(client, options, told):
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=told):
        names(client, **options)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("MaxItems=1001", "MaxItems must be between 0 and 1000, not 1001"),
        ("MaxItems=-1", "MaxItems must be between 0 and 1000, not -1"),
        ("MaxItems=many", "MaxItems must be a whole number, not 'many'"),
        ("ReverseOrder=yes", "ReverseOrder must be true or false, not 'yes'"),
        ("StartedAfter=noon", "StartedAfter must be a time in ISO 8601, not 'noon'"),
        ("StartedBefore=99999999999999999999", "StartedBefore must be a time in ISO 8601"),
    ],
)
def test_what_boto3_would_not_send_is_named(server, raw_of, query, told):
    refused = raw_of(server({"f": samples.adds})).get(f"/2025-12-01/functions/f/durable-executions?{query}")

    assert refused.status_code == 400
    assert refused.headers["x-amzn-ErrorType"] == "InvalidParameterValueException"
    assert told in refused.json()["message"]
