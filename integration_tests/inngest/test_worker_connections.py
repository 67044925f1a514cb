"""`workerConnections`: which workers are and were connected."""

import os
import socket

import httpx
import inngest
import pytest
from inngest.connect._internal import conn_init_starter, isolated_worker

from steprig.inngest.ids import app_uuid
from steprig.inngest.limits import MIB

from ..waiting import until
from .connecting import ConnectStage, pb, raw_worker
from .graphql_client import LONG_AGO
from .stage import PATIENCE

FIELDS = """id gatewayId instanceId workerIp maxWorkerConcurrency appName appID app { id name }
  connectedAt lastHeartbeatAt disconnectedAt disconnectReason status groupHash sdkLang sdkVersion sdkPlatform
  syncId buildId appVersion functionCount cpuCores memBytes os"""
LISTED = f"""query W($first: Int! = 100, $after: String, $order: [ConnectV1WorkerConnectionsOrderBy!]! = [],
    $filter: ConnectV1WorkerConnectionsFilter! = {{}}) {{
  workerConnections(first: $first, after: $after, orderBy: $order, filter: $filter) {{
    edges {{ cursor node {{ {FIELDS} }} }}
    pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} totalCount
  }}
}}"""
ONE = f"query O($id: ULID!) {{ workerConnection(connectionId: $id) {{ {FIELDS} }} }}"


@pytest.fixture(autouse=True)
def impatient_sdk(monkeypatch):
    """The SDK waits for seconds where it sees its connection end."""
    monkeypatch.setattr(conn_init_starter, "CONN_INIT_RETRY_INTERVAL_SEC", 0.05)
    monkeypatch.setattr(isolated_worker, "POST_CONNECT_SETTLE_SEC", 0.01)


@pytest.fixture
def ask(dev):
    def ask(query, **variables):
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{dev.origin}/v0/gql", json=body, timeout=PATIENCE).raise_for_status().json()
        if "errors" in answer:
            return answer["errors"][0]["message"]
        return answer["data"]

    return ask


@pytest.fixture
def nodes(ask):
    def nodes(**variables):
        shown = ask(LISTED, **variables)["workerConnections"]
        assert shown["totalCount"] == len(shown["edges"])
        return [edge["node"] for edge in shown["edges"]]

    return nodes


def ulid(number):
    return f"01JQDAE4RQ000G40R40M30E{number:03}"


def test_a_worker_of_the_sdk_is_shown_from_its_beginning_to_its_end(dev, ask, nodes):
    connected = ConnectStage(dev)

    @connected.function("idle")
    async def idle(ctx: inngest.Context) -> None:
        return None

    try:
        worker = connected.worker(instance_id="worker-1", max_worker_concurrency=7)
        (node,) = until(lambda: [node for node in nodes() if node["status"] == "READY"])
        assert node["appName"] == node["app"]["name"] == connected.app_id
        assert node["appID"] == node["app"]["id"] == str(app_uuid(connected.app_id))
        assert (node["instanceId"], node["maxWorkerConcurrency"], node["functionCount"]) == ("worker-1", 7, 1)
        assert (node["sdkLang"], node["workerIp"], node["disconnectedAt"]) == ("py", "127.0.0.1", None)
        assert (node["cpuCores"], node["os"]) == (os.cpu_count(), "linux")
        assert node["memBytes"] >= MIB
        assert ask(ONE, id=node["id"])["workerConnection"] == node
        worker.stop()
    finally:
        connected.close()

    (ended,) = until(lambda: [node for node in nodes() if node["status"] == "DISCONNECTED"])
    assert ended["id"] == node["id"]
    assert ended["connectedAt"] == node["connectedAt"] <= ended["disconnectedAt"]
    assert ended["disconnectReason"] == "WORKER_SHUTDOWN"


def test_a_worker_says_how_it_goes_on(dev, nodes):
    with raw_worker(dev) as worker:
        worker.get_ready("a", worker_manual_readiness_ack=True)
        (node,) = nodes()
        assert (node["status"], node["lastHeartbeatAt"]) == ("CONNECTED", None)
        worker.say(pb.WORKER_READY)
        until(lambda: nodes()[0]["status"] == "READY")
        ready_at = nodes()[0]["lastHeartbeatAt"]
        dev.clock.advance(minutes=1)
        worker.say(pb.WORKER_HEARTBEAT)
        assert worker.hear().kind == pb.GATEWAY_HEARTBEAT
        assert nodes()[0]["lastHeartbeatAt"] > ready_at >= node["connectedAt"]
        worker.say(pb.WORKER_PAUSE)
        until(lambda: nodes()[0]["status"] == "DRAINING")
        worker.socket.close(1000, "GONE_FISHING")

    until(lambda: nodes()[0]["status"] == "DISCONNECTED")
    assert nodes()[0]["disconnectReason"] == "GONE_FISHING"


def test_a_connection_that_breaks_and_one_that_breaks_a_rule_say_so(dev, nodes):
    with raw_worker(dev) as worker:
        worker.get_ready("a", connection_id=ulid(1))
        worker.socket.socket.shutdown(socket.SHUT_RDWR)
    with raw_worker(dev) as worker:
        worker.get_ready("a", connection_id=ulid(2))
        worker.socket.send(b"\xff")
        worker.closed_with()

    def reasons():
        return {node["id"]: node["disconnectReason"] for node in nodes(filter={"status": ["DISCONNECTED"]})}

    until(lambda: len(reasons()) == 2)
    assert reasons() == {ulid(1): "UNEXPECTED", ulid(2): "connect_worker_invalid_message"}


def test_a_connection_is_listed_once_for_each_of_its_apps(dev, nodes):
    with raw_worker(dev) as worker:
        worker.get_ready("a", apps=("raw", "other"))

        assert [node["appName"] for node in nodes()] == ["raw", "other"]
        assert len({node["id"] for node in nodes()}) == 1
        other = str(app_uuid("other"))
        assert [node["appName"] for node in nodes(filter={"appIDs": [other]})] == ["other"]
        assert nodes(filter={"appIDs": [str(app_uuid("third"))]}) == []


@pytest.fixture
def three(dev):
    """Three workers, an hour apart, the second of which has gone."""
    with raw_worker(dev) as first, raw_worker(dev) as second, raw_worker(dev) as third:
        for number, worker in enumerate((first, second, third)):
            worker.get_ready("a", connection_id=ulid(number))
            dev.clock.advance(hours=1)
        second.socket.close()
        yield


def test_connections_are_filtered(dev, nodes, three):
    gone = until(lambda: nodes(filter={"status": ["DISCONNECTED"]}))

    def ids(**wanted):
        return [node["id"] for node in nodes(filter=wanted)]

    assert [node["id"] for node in gone] == [ulid(1)]
    assert ids() == [ulid(2), ulid(1), ulid(0)]
    assert ids(status=["READY", "DRAINING"]) == [ulid(2), ulid(0)]
    moment = gone[0]["connectedAt"]
    assert ids(**{"from": moment}) == [ulid(2), ulid(1)]
    assert ids(until=moment) == [ulid(0)]
    assert ids(timeField="DISCONNECTED_AT", **{"from": LONG_AGO}) == [ulid(1)]
    assert ids(timeField="LAST_HEARTBEAT_AT", until=LONG_AGO) == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], [2, 1, 0]),
        ([("CONNECTED_AT", "ASC")], [0, 1, 2]),
        ([("LAST_HEARTBEAT_AT", "DESC")], [2, 1, 0]),
        ([("DISCONNECTED_AT", "ASC"), ("CONNECTED_AT", "DESC")], [1, 2, 0]),
    ],
)
def test_connections_are_ordered(nodes, three, order, expected):
    until(lambda: nodes(filter={"status": ["DISCONNECTED"]}))
    rules = [{"field": field, "direction": direction} for field, direction in order]

    assert [node["id"] for node in nodes(order=rules)] == [ulid(number) for number in expected]


def test_connections_are_read_page_by_page(ask, three):
    first = ask(LISTED, first=2)["workerConnections"]
    second = ask(LISTED, first=2, after=first["pageInfo"]["endCursor"])["workerConnections"]

    shown = [edge["node"]["id"] for edge in first["edges"] + second["edges"]]
    assert shown == [ulid(2), ulid(1), ulid(0)]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
    assert first["totalCount"] == second["totalCount"] == 3
    assert len(ask(LISTED, first=0)["workerConnections"]["edges"]) == 3


def test_a_connection_that_there_is_not_is_an_error(ask):
    assert ask(ONE, id=ulid(0)) == "error retrieving worker connection: sql: no rows in result set"
