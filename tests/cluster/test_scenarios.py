"""What a night on a real cluster brings and must not trip, each with its twin that must.

Rolling update, scale-in, drain, eviction and slow start are in ``test_trips``, a silenced alert and a late duplicate in
``tests/real/test_up``: with the real Alertmanager.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.running import Up, alert, notification
from tests.cluster import manifests
from tests.cluster.kubelet import kubelet_says
from tests.cluster.moving import Moving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

WINDOW_S = 6
NAMES = ("flapping", "failing", "old", "new", "depends")
QUIET_S = 3.0
"""In which nothing happens: far more than an Event takes."""


def space(name: str) -> str:
    """Return the namespace of a scenario."""
    return f"nights-{name}"


def policy(name: str, breaker: str = "login", **parts: Any) -> dict[str, Any]:  # noqa: ANN401  - parts of a spec
    """Return a breaker of a scenario."""
    return {
        "apiVersion": "fuseboard.dev/v1alpha1",
        "kind": "CircuitBreaker",
        "metadata": {"name": breaker, "namespace": space(name)},
        "spec": {"target": {"name": "login" if breaker == "db" else breaker}, **parts},
    }


POLICIES = (
    policy("flapping", trip={"window": f"{WINDOW_S}s"}),
    policy("failing", trip={"window": f"{WINDOW_S}s"}),
    policy("old", trip={"window": "1s"}),
    policy("new"),
    policy("depends", "db", trip={"readyFor": "1s"}),
    policy("depends", "cart", dependsOn=["db"]),
    policy("depends", "ads"),
)


def pod_of(cluster: Cluster, name: str) -> dict[str, str]:
    """Return a reference to a pod of a scenario's target."""
    meta = Moving(cluster, space(name)).living()[0]["metadata"]
    return {"kind": "Pod", "apiVersion": "v1", "namespace": space(name), "name": meta["name"], "uid": meta["uid"]}


def unhealthy(cluster: Cluster, name: str, count: int) -> None:
    """A probe of a pod that was ready fails so often, as its kubelet tells."""
    message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    kubelet_says(cluster, pod_of(cluster, name), count, reason="Unhealthy", message=message)


@pytest.fixture(scope="module")
def up(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run the program on the cluster; some Events were written before, of long ago and of just now."""
    for name in NAMES:
        cluster.api.apply(manifests.namespace(space(name)))
        Moving(cluster, space(name)).make()
    for name in NAMES:
        Moving(cluster, space(name)).up(3)
    for _ in range(5):
        unhealthy(cluster, "old", 9)
    time.sleep(1.5)
    for _ in range(3):
        unhealthy(cluster, "new", 1)
    options = ("--kubeconfig", str(cluster.kubeconfig()))
    with Up(tmp_path_factory.mktemp("up"), *POLICIES, options=options) as running:
        yield running
    for name in NAMES:
        cluster.api.delete(f"/api/v1/namespaces/{space(name)}")


def state(up: Up, name: str, breaker: str = "login") -> str:
    """Return the state of a scenario's breaker."""
    found: str = up.breaker(f"{space(name)}/{breaker}")["state"]
    return found


def test_an_old_event_in_the_first_list_does_not_trip(up: Up) -> None:
    """45 failures of before the window are history to a watcher that has just begun."""
    time.sleep(QUIET_S)
    assert state(up, "old") == "CLOSED"


def test_a_new_event_in_the_first_list_does(up: Up) -> None:
    """What happened just before it began counts: nobody else would tell."""
    up.wait_for(lambda: state(up, "new") == "LIMITED", 15)


def test_a_probe_that_flaps_below_the_threshold_does_not_trip(cluster: Cluster, up: Up) -> None:
    """Two failures per window, again and again, weigh two."""
    for _ in range(3):
        unhealthy(cluster, "flapping", 2)
        up.wait_for(lambda: up.breaker(f"{space('flapping')}/login")["weight"] == 2, 15)
        time.sleep(WINDOW_S)
    assert state(up, "flapping") == "CLOSED"


def test_a_probe_that_fails_more_often_does(cluster: Cluster, up: Up) -> None:
    """Three within a window limit."""
    unhealthy(cluster, "failing", 2)
    unhealthy(cluster, "failing", 1)
    up.wait_for(lambda: state(up, "failing") == "LIMITED", 15)


def test_what_a_dependency_that_is_down_brings_does_not_trip(cluster: Cluster, up: Up) -> None:
    """No pod of db is ready, and nobody stands in: what fails at cart is db's then, and at ads, without db, its own."""
    Moving(cluster, space("depends")).unready(3)
    up.wait_for(lambda: state(up, "depends", "db") == "OPEN", 30)
    for breaker in ("cart", "ads"):
        fires = alert("critical")
        fires["labels"] |= {"namespace": space("depends"), "deployment": breaker}
        assert up.post("/alertmanager", notification(fires)).status == 202
    up.wait_for(lambda: state(up, "depends", "ads") == "OPEN", 15)
    time.sleep(QUIET_S)
    assert state(up, "depends", "cart") == "CLOSED"
    weighed = [entry["weighed"] for entry in up.journal(f"{space('depends')}/cart") if entry.get("weighed")]
    assert weighed[0][0]["attributed"] == "db"
