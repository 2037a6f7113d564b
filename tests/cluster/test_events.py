"""The watcher of Events on a real API server: what etcd forgets, RBAC forbids and both shapes say."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventsources.apiserver import ApiServer
from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import open_cluster
from fuseboard.policy.spec import Metadata, Policy, Spec, Workload
from fuseboard.settings import Settings
from fuseboard.testing.api_script import in_thread, until
from fuseboard.testing.memory import MemoryCheckpoints, MemoryStore
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.testing.panel import Panel
from fuseboard.testing.policies import policy as calm
from fuseboard.workloads.events import read_event
from tests.cli.running import Up
from tests.cluster.kubelet import SOON, kubelet_says, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fuseboard.stores.checkpoints import Checkpoints
    from tests.cluster.cluster import Cluster

LABELS = {"app": "login"}


def deployment(space: str) -> dict[str, Any]:
    """Return a Deployment of one pod."""
    pod = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "app", "image": "none"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "login", "namespace": space},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": pod},
    }


def a_pod(cluster: Cluster, space: str) -> dict[str, str]:
    """Run the target in a namespace; return a reference to its pod."""
    cluster.api.apply(deployment(space))
    path = f"/api/v1/namespaces/{space}/pods"
    until(lambda: cluster.api.get(path)["items"])
    found = cluster.api.get(path)["items"]
    meta = found[0]["metadata"]
    return {"kind": "Pod", "apiVersion": "v1", "namespace": space, "name": meta["name"], "uid": meta["uid"]}


def recorder_says(cluster: Cluster, pod: dict[str, str]) -> dict[str, Any]:
    """Write an Event as the newer recorder does: its first occurrence, without a series."""
    return cluster.api.create({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{pod['name']}.{secrets.token_hex(4)}", "namespace": pod["namespace"]},
        "regarding": pod,
        "reason": "FailedScheduling",
        "note": "0/2 nodes are available",
        "type": "Warning",
        "action": "Scheduling",
        "eventTime": stamp(micro=True),
        "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-0",
    })  # fmt: skip


def grows(cluster: Cluster, event: dict[str, Any], count: int) -> None:
    """Let an Event have happened more often, in its own shape."""
    core = event["apiVersion"] == "v1"
    root, meta = ("/api/v1" if core else "/apis/events.k8s.io/v1"), event["metadata"]
    series = {"series": {"count": count, "lastObservedTime": stamp(micro=True)}}
    change = {"count": count, "lastTimestamp": stamp()} if core else series
    cluster.api.patch(f"{root}/namespaces/{meta['namespace']}/events/{meta['name']}", change)


def uid(event: dict[str, Any]) -> str:
    """Return an Event's uid."""
    found: str = event["metadata"]["uid"]
    return found


@contextmanager
def watching(
    cluster: Cluster, spaces: tuple[str, ...], box: MemoryOutbox, checkpoints: Checkpoints, user: str = "admin"
) -> Iterator[ApiServer]:
    """Run the source for some namespaces until the block ends."""
    store = MemoryStore(lambda: round(time.time() * 1000))
    store.apply(
        [
            Policy("fuseboard.dev/v1alpha1", "CircuitBreaker", Metadata("login", space), Spec(Workload("login")))
            for space in spaces
        ]
    )
    found = open_cluster(Settings(kubeconfig=str(cluster.kubeconfig(user))))
    assert isinstance(found, Kubernetes)
    source = ApiServer(store, box, checkpoints, found)
    source.watches.pace = SOON
    with in_thread(source.run):
        yield source


def listed(box: MemoryOutbox, times: int = 1) -> None:
    """Wait until the source has listed so often."""
    until(lambda: sum("listed" in each.reason for each in box.entries) >= times, 20)


def test_both_shapes_count_and_grow(cluster: Cluster, namespace: str) -> None:
    """Counted and in series, created and modified, each occurrence counts once: K1, K2, K3, K4, K22."""
    pod, box = a_pod(cluster, namespace), MemoryOutbox()
    with watching(cluster, (namespace,), box, MemoryCheckpoints()):
        listed(box)
        kubelet, recorder = kubelet_says(cluster, pod), recorder_says(cluster, pod)
        grows(cluster, kubelet, 3)
        grows(cluster, recorder, 2)
        expected = {f"{uid(kubelet)}:{number}" for number in (1, 2, 3)} | {
            f"{uid(recorder)}:{number}" for number in (1, 2)
        }
        until(lambda: set(box.keys) >= expected)

    assert sorted(box.keys) == sorted(expected)
    assert {each.subject for each in box.events} == {f"{namespace}/login"}


def test_the_server_serves_one_object_in_both_shapes(cluster: Cluster, namespace: str) -> None:
    """Whatever API it was written by and is read by, it says the same: K1."""
    pod = a_pod(cluster, namespace)
    for event in (kubelet_says(cluster, pod, 4), recorder_says(cluster, pod)):
        path = f"/namespaces/{namespace}/events/{event['metadata']['name']}"

        assert read_event(cluster.api.get(f"/api/v1{path}")) == read_event(
            cluster.api.get(f"/apis/events.k8s.io/v1{path}")
        )


def test_the_servers_stamps_are_later_than_a_wrong_clocks(cluster: Cluster, namespace: str) -> None:
    """A kubelet whose clock is an hour behind is heard all the same, and its stamp is kept: K25."""
    pod, box = a_pod(cluster, namespace), MemoryOutbox()
    with watching(cluster, (namespace,), box, MemoryCheckpoints()):
        listed(box)
        kubelet_says(cluster, pod, lastTimestamp="2026-01-01T00:00:00Z", firstTimestamp="2026-01-01T00:00:00Z")
        until(lambda: box.keys)

    failure = box.failures[0]
    assert abs(failure.started_at / 1000 - time.time()) < 30
    assert failure.emitted_at == 1_767_225_600_000


def test_what_is_not_the_targets_is_no_signal(cluster: Cluster, namespace: str) -> None:
    """A pod made by hand that looks like the target's, a Node, a normal Event: K21, K22, K23."""
    pod, box = a_pod(cluster, namespace), MemoryOutbox()
    twin = {"name": "login-7d9c5b8f6d-x2x4z", "namespace": namespace}
    spec = {"containers": [{"name": "app", "image": "none"}]}
    alone = cluster.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": twin, "spec": spec})
    with watching(cluster, (namespace,), box, MemoryCheckpoints()):
        listed(box)
        kubelet_says(cluster, pod | {"name": twin["name"], "uid": uid(alone)})
        kubelet_says(cluster, pod, type="Normal", reason="Pulled")
        last = kubelet_says(cluster, pod)
        until(lambda: f"{uid(last)}:1" in box.keys)

    assert box.keys == [f"{uid(last)}:1"]


def test_a_deleted_event_says_nothing(cluster: Cluster, namespace: str) -> None:
    """Its hour is over, or somebody cleaned up: no recovery, and no failure: K9."""
    pod, box, checkpoints = a_pod(cluster, namespace), MemoryOutbox(), MemoryCheckpoints()
    with watching(cluster, (namespace,), box, checkpoints):
        listed(box)
        event = kubelet_says(cluster, pod)
        until(lambda: box.keys)
        cluster.api.delete(f"/api/v1/namespaces/{namespace}/events/{event['metadata']['name']}")
        until(lambda: not (checkpoints.read(namespace) or fail()).known)

    assert box.keys == [f"{uid(event)}:1"]


def fail() -> Any:  # noqa: ANN401  - never returns
    """Fail: there must be one."""
    raise AssertionError


def test_killed_and_compacted_it_loses_nothing_that_still_exists(cluster: Cluster, namespace: str) -> None:
    """Beyond the checkpoint nothing is replayed: what is there is compared, and the gap is told: K10, K11, fault 6."""
    pod, box, checkpoints = a_pod(cluster, namespace), MemoryOutbox(), MemoryCheckpoints()
    with watching(cluster, (namespace,), box, checkpoints):
        listed(box)
        before = kubelet_says(cluster, pod, 3)
        until(lambda: len(box.keys) == 3)
    grows(cluster, before, 9)
    fresh = kubelet_says(cluster, pod, 2)
    cluster.control_plane.compact()
    with watching(cluster, (namespace,), box, checkpoints):
        until(lambda: len(box.keys) == 11, 20)

    expected = [*(f"{uid(before)}:{number}" for number in range(1, 10)), f"{uid(fresh)}:1", f"{uid(fresh)}:2"]
    assert sorted(box.keys) == sorted(expected)
    (gap,) = box.gaps
    assert (gap.namespace, gap.since <= gap.until) == (namespace, True)


def test_killed_and_not_compacted_it_finds_no_gap(cluster: Cluster, namespace: str) -> None:
    """The stream replays what came meanwhile: nothing is lost, nothing is listed, nothing alarms."""
    pod, box, checkpoints = a_pod(cluster, namespace), MemoryOutbox(), MemoryCheckpoints()
    with watching(cluster, (namespace,), box, checkpoints):
        listed(box)
        until(lambda: checkpoints.read(namespace))
    event = kubelet_says(cluster, pod)
    grows(cluster, event, 4)
    with watching(cluster, (namespace,), box, checkpoints):
        until(lambda: len(box.keys) == 4)

    assert (box.gaps, sum("listed" in each.reason for each in box.entries)) == ([], 1)


def test_a_quiet_namespace_is_compacted_without_an_alarm(cluster: Cluster, namespace: str) -> None:
    """Its version grows old while others write: it is listed again, and nothing can have been lost."""
    pod, box = a_pod(cluster, namespace), MemoryOutbox()
    with watching(cluster, (namespace,), box, MemoryCheckpoints()):
        listed(box)
        time.sleep(SOON.stream[1] + 1)  # a stream has ended with nothing to say
        cluster.api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace}})
        cluster.control_plane.compact()
        listed(box, 2)
        event = kubelet_says(cluster, pod)
        until(lambda: box.keys)

    assert (box.keys, box.gaps) == ([f"{uid(event)}:1"], [])


def test_a_version_of_the_future_is_given_up(cluster: Cluster, namespace: str) -> None:
    """After a restore the server would wait for it in silence: K16."""
    pod, box, checkpoints = a_pod(cluster, namespace), MemoryOutbox(), MemoryCheckpoints()
    checkpoints.move(namespace, "900000000", round(time.time() * 1000) - 60_000, {})
    event = kubelet_says(cluster, pod)
    with watching(cluster, (namespace,), box, checkpoints):
        until(lambda: box.keys)

    assert box.keys == [f"{uid(event)}:1"]
    assert "Too large" in box.gaps[0].reason


def test_a_version_that_is_none_is_given_up(cluster: Cluster, namespace: str) -> None:
    """Whatever stands in the checkpoint, the watch comes back to life: K13."""
    a_pod(cluster, namespace)
    box, checkpoints = MemoryOutbox(), MemoryCheckpoints()
    checkpoints.move(namespace, "not-a-version", 1, {})
    with watching(cluster, (namespace,), box, checkpoints):
        listed(box)

    assert len(box.gaps) == 1


def test_a_namespace_without_permission_does_not_hold_up_another(cluster: Cluster, namespace: str) -> None:
    """RBAC of one namespace is all that its watch needs; the other is said once, until it is allowed: K29, fault 10."""
    pod, other, box = a_pod(cluster, namespace), f"{namespace}-x", MemoryOutbox()
    user = "system:serviceaccount:fuseboard:failover"
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    allow(cluster, namespace, user)
    with watching(cluster, (namespace, other), box, MemoryCheckpoints(), user):
        listed(box)
        event = kubelet_says(cluster, pod)
        until(lambda: box.keys)
        time.sleep(3 * SOON.denied_wait)
        denied = [each.reason for each in box.entries if "events is forbidden" in each.reason]
        allow(cluster, other, user)
        listed(box, 2)
    cluster.api.delete(f"/api/v1/namespaces/{other}")

    assert box.keys == [f"{uid(event)}:1"]
    assert len(denied) == 1


def allow(cluster: Cluster, space: str, user: str) -> None:
    """Let a user see the Events of a namespace, and no more: pods' names must do."""
    meta = {"name": "events", "namespace": space}
    rule = {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]}
    api = "rbac.authorization.k8s.io/v1"
    cluster.api.apply({"apiVersion": api, "kind": "Role", "metadata": meta, "rules": [rule]})
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "Role", "name": "events", "apiGroup": "rbac.authorization.k8s.io"}
    cluster.api.apply(
        {"apiVersion": api, "kind": "RoleBinding", "metadata": meta, "subjects": [subject], "roleRef": role}
    )


def test_two_watchers_have_no_second_effect(cluster: Cluster, namespace: str) -> None:
    """They name the same occurrences, and the breaker counts each once: K18, P9."""
    pod, boxes, shared = a_pod(cluster, namespace), (MemoryOutbox(), MemoryOutbox()), MemoryCheckpoints()
    with watching(cluster, (namespace,), boxes[0], shared), watching(cluster, (namespace,), boxes[1], shared):
        for box in boxes:
            listed(box)
        events = [kubelet_says(cluster, pod) for _ in range(5)]
        for event in events:
            grows(cluster, event, 2)
        until(lambda: all(len(set(box.keys)) == 10 for box in boxes))

    panel = Panel(calm(trip={"limitAt": 100, "openAt": 200}))
    for each in (*boxes[0].events, *boxes[1].events):
        panel.tell(each.data)
    assert panel.breaker.weight == 10


def test_up_acts_on_what_kubernetes_says(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """The program with a kubeconfig: Events limit and open; killed and compacted, it goes on, and tells of the gap."""
    pod = a_pod(cluster, namespace)
    policy = {
        "apiVersion": "fuseboard.dev/v1alpha1",
        "kind": "CircuitBreaker",
        "metadata": {"name": "login", "namespace": namespace},
        "spec": {"target": {"name": "login"}, "trip": {"window": "5m"}},
    }
    up = Up(tmp_path, policy, options=("--kubeconfig", str(cluster.kubeconfig())))

    def state() -> str:
        return str(up.breaker(f"{namespace}/login")["state"])

    def recorded() -> str:
        return str(up.get("/api/journal?limit=200"))

    with up:
        up.wait_for(lambda: "listed" in recorded())
        event = kubelet_says(cluster, pod, 3)
        up.wait_for(lambda: state() == "LIMITED")
        up.wait_for(lambda: "counted" in recorded())
        time.sleep(0.5)
        up.kill()
        grows(cluster, event, 14)
        cluster.control_plane.compact()
        up.start()
        up.wait_for(lambda: state() == "OPEN")
        found = up.breaker(f"{namespace}/login")
        up.stop()
    log = "".join(path.read_text() for path in tmp_path.rglob("fuseboard.jsonl"))

    assert found["epoch"] == 2
    assert "ingest.gap_found" in log
