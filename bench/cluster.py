"""On a real cluster: from an Event to the Service that is patched, and from alerts to the broker.

A real API server and the real Knative Eventing, as plain processes (``tests/cluster``); all of Fuseboard runs on it by
its own manifests. Both sides of a round are told by the same observer, a watch of the Services.

What the broker sends inside the cluster goes through the harness's forward proxy, a Python program, at every hop: on a
cluster with a DNS it does not, so ours is slower here than there.

Targets: performance, rows "Event created -> Service patched", "50 alerts of 50 breakers" and "cold start, failover
function".
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import urllib3

from bench import cold_start, ingress
from bench.measure import PROGRAMS, Result, client, interleave, medians, post, ratio, running, valkey
from bench.signals import NAMESPACE, policies, workloads
from functions.breaker import Breaker
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.events.wire import encode
from fuseboard.policy.validation import parse_document
from fuseboard.stores.checkpoints import open_checkpoints
from fuseboard.stores.redis import open_store
from tests.cluster import manifests
from tests.cluster.cluster import running_cluster
from tests.cluster.programs import default_cache
from tests.cluster.rows import ROWS
from tests.cluster.standing import SPACE, Pod, enrol, policy, standing, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.measure import Plan
    from fuseboard.policy.spec import Policy
    from tests.cluster.cluster import Cluster
    from tests.cluster.standing import Fuseboard

FLOOR: Final = "bench-floor"
ALONE: Final = "bench-alone"
COLD: Final = "bench-cold"
PATCHED_WITHIN_S: Final = 30.0
OPENS: Final = 20
"""Occurrences that an Event counts: enough to open a breaker at once."""


def is_built() -> bool:
    """Say whether the cluster's programs are in the cache: to build them takes minutes, so nobody gets it unasked."""
    return all(any(default_cache().glob(f"{row.name}-*")) for row in ROWS)


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    spaces = [f"bench-{number}" for number in range(plan.rounds + 1)]
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster())
        url = stack.enter_context(valkey(plan.folder / "cluster", appendfsync="always"))
        yield _accepted_alone(plan, cluster)
        yield from _cold_start(plan, cluster)
        for space in (*spaces, NAMESPACE):  # not by ``standing``: it would delete them at the end, and take its time
            enrol(cluster, space)
        fuseboard = stack.enter_context(standing(cluster, _folder(plan, "pods"), url, (), mirrored=False))
        observed = policies(workloads(ingress.ALERTS))
        open_store(url).apply([*(_patient(space) for space in spaces), *observed])
        wait_for("the namespaces are watched", lambda: all(open_checkpoints(url).read(each) for each in spaces), str)
        yield _patched(plan, fuseboard, spaces)
        webhook, broker = fuseboard.pods["alertmanager"].url, cluster.knative.ingress(SPACE, "fuseboard")
        yield ingress.accepted(plan, url, webhook, broker, behind="functions")


def _accepted_alone(plan: Plan, cluster: Cluster) -> Result:
    """Webhook and relay before a broker that has no Trigger: what it takes is its own answer only."""
    cluster.api.apply(manifests.namespace(ALONE))
    cluster.ready_broker(ALONE)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(valkey(plan.folder / "alone", appendfsync="always"))
        open_store(url).apply(policies(workloads(ingress.ALERTS)))
        broker, folder = cluster.knative.ingress(ALONE), _folder(plan, "alone-pods")
        env = {"FUSEBOARD_REDIS_URL": url, "K_SINK": broker}
        webhook, relay = (
            Pod(module, folder, env) for module in ("eventsources.alertmanager", "fuseboard.delivery.relay")
        )
        for pod in (webhook, relay):
            stack.enter_context(pod)
        for pod in (webhook, relay):
            pod.wait_ready()
        return ingress.accepted(plan, url, webhook.url, broker, behind="nobody")


def _cold_start(plan: Plan, cluster: Cluster) -> Iterator[Result]:
    """The failover function, with a cluster to act on: told of a step that is owed, and of none."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "failover", "namespace": SPACE}}
    cluster.api.apply(manifests.namespace(SPACE))
    cluster.api.apply(account)
    enrol(cluster, COLD)
    config = cluster.kubeconfig(f"system:serviceaccount:{SPACE}:failover")
    with valkey(plan.folder / "cold", appendfsync="always") as url:
        ours = cold_start.function_start("failover", FUSEBOARD_REDIS_URL=url, FUSEBOARD_KUBECONFIG=str(config))
        starts = {"floor": cold_start.floor, "ours": ours}
        patched, sizes = cold_start.compared(plan, starts, lambda: _opened(cluster, url))
        _assert_moved(cluster)
        nothing = _opened(cluster, url)
        client(url).flushall()  # the breaker of the event is closed again: nothing is owed
        open_store(url).apply([_patient(COLD)])
        times, _ = cold_start.compared(plan, starts, lambda: nothing)
    name = "cold start to the first 2xx, failover function"
    yield cold_start.result(f"{name} (can patch)", times, at_most=7.0, unit="ms")
    yield cold_start.result(f"{name}, for the patch", patched, at_most=None, unit="ms")
    if any(sizes["ours"]):
        yield cold_start.result("resident memory, failover function", sizes, at_most=None, unit="MB")


def _opened(cluster: Cluster, url: str) -> bytes:
    """Put the Service back, open its breaker from the beginning, and return what tells the failover function."""
    service = f"/api/v1/namespaces/{COLD}/services/login"
    manifest = cluster.api.get(service)
    cluster.api.delete(service)
    meta = {"name": "login", "namespace": COLD}
    spec = {"selector": {"app": "login", "role": "primary"}, "ports": manifest["spec"]["ports"]}
    cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    client(url).flushall()
    store = open_store(url)
    store.apply([_patient(COLD)])
    failure = Failure(key="bench", cause="HighErrorRate Deployment/login", condition="bench", severity="critical")
    now = time.time_ns() // 1_000_000
    signal = Event(id=str(now), source="/bench", subject=f"{COLD}/login", data=FailureDetected((failure,)), time=now)
    announced = Breaker(store).handle(signal)
    assert announced is not None, "a critical alert opens a breaker"
    message = encode(announced)
    return post("/", dict(message.headers), bytes(message.body))


def _assert_moved(cluster: Cluster) -> None:
    selector = cluster.api.get(f"/api/v1/namespaces/{COLD}/services/login")["spec"]["selector"]
    assert selector["role"] == "standby", f"the failover function has left the Service as it was: {selector}"


def _folder(plan: Plan, name: str) -> Path:
    folder = plan.folder / name
    folder.mkdir()
    return folder


def _patient(space: str) -> Policy:
    """Return the policy of a namespace's breaker; traffic does not return while others are measured."""
    document = policy(space)
    document["spec"]["recover"]["coolDown"] = "1h"
    return parse_document(document, "bench")


# -- from an Event to the patch --------------------------------------------------------------------------------------


def _patched(plan: Plan, fuseboard: Fuseboard, spaces: Sequence[str]) -> Result:
    """Each of ours is a breaker of its own, closed until then; the floor's Service is put back in between."""
    cluster, unused = fuseboard.cluster, iter(spaces)
    pods = {space: _target_pod(cluster, space) for space in spaces}
    with _floor(plan, cluster), contextlib.closing(_Services(cluster)) as services:

        def ours() -> float:
            space = next(unused)
            return _time_to_patch(cluster, services, pods[space])

        def floor() -> float:
            pod = pods[spaces[0]] | {"namespace": FLOOR}
            seconds = _time_to_patch(cluster, services, pod)
            path = f"/api/v1/namespaces/{FLOOR}/services/login"
            cluster.api.patch(path, {"spec": {"selector": {"role": "primary"}}})
            services.wait(FLOOR, "primary")
            return seconds

        sides = {"floor": floor, "ours": ours}
        for side in sides.values():
            side()
        samples = {name: [1_000 * each for each in found] for name, found in interleave(sides, plan.rounds).items()}
    return Result(
        name="Event created -> Service patched, through the broker",
        ratio=ratio(samples["ours"], samples["floor"]),
        at_most=1.9,
        unit="ms",
        sides=medians(samples),
        note="floor: a raw watch and patch in one process; ours: watcher, outbox, relay, broker, breaker, broker, "
        "failover; both from the request that creates the Event to the observer's notice of the patch",
    )


def _time_to_patch(cluster: Cluster, services: _Services, pod: dict[str, str]) -> float:
    event = _event(pod)
    begin = time.perf_counter()
    cluster.api.create(event)
    services.wait(pod["namespace"], "standby")
    return time.perf_counter() - begin


@contextlib.contextmanager
def _floor(plan: Plan, cluster: Cluster) -> Iterator[None]:
    cluster.api.apply(manifests.namespace(FLOOR))
    spec = {"selector": {"app": "login", "role": "primary"}, "ports": [{"port": 80}]}
    meta = {"name": "login", "namespace": FLOOR}
    cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    plane = cluster.control_plane
    env = {"BENCH_SERVER": plane.server, "BENCH_CA": str(plane.ca), "BENCH_TOKEN": plane.token("admin")}
    command = [sys.executable, str(PROGRAMS / "watch_and_patch.py"), FLOOR]
    with running(command, plan.folder / "watch_and_patch.log", **env):
        yield


def _target_pod(cluster: Cluster, space: str) -> dict[str, str]:
    """Return a reference to the target's pod."""
    (pod,) = cluster.api.get(f"/api/v1/namespaces/{space}/pods", labelSelector="role=primary")["items"]
    meta = pod["metadata"]
    return {"kind": "Pod", "apiVersion": "v1", "namespace": space, "name": meta["name"], "uid": meta["uid"]}


def _event(pod: dict[str, str]) -> dict[str, Any]:
    """Return an Event as a kubelet writes it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pod['name']}.{secrets.token_hex(4)}", "namespace": pod["namespace"]},
        "involvedObject": pod | {"fieldPath": "spec.containers{app}"},
        "reason": "BackOff",
        "message": "Back-off restarting failed container app",
        "type": "Warning",
        "count": OPENS,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "kubelet", "host": "node-a"},
    }


class _Services:
    """The observer: sees every Service as soon as it changes."""

    def __init__(self, cluster: Cluster) -> None:
        plane = cluster.control_plane
        self._pool = urllib3.PoolManager(ca_certs=str(plane.ca), retries=False, timeout=PATCHED_WITHIN_S)
        head = {"Authorization": f"Bearer {plane.token('admin')}"}
        url = f"{plane.server}/api/v1/services?watch=1"
        self._stream = self._pool.request("GET", url, headers=head, preload_content=False)
        self._seen = self._lines()

    def wait(self, space: str, role: str) -> None:
        """Return when a namespace's Service has come to select a role."""
        for line in self._seen:
            service = json.loads(line)["object"]
            selected = service["spec"].get("selector", {})
            if service["metadata"]["namespace"] == space and selected.get("role") == role:
                return
        message = f"the watch of Services ended before {space} led to {role}"
        raise RuntimeError(message)

    def close(self) -> None:
        """End the watch."""
        self._stream.close()
        self._pool.clear()

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        for part in self._stream.stream():
            *lines, rest = (rest + part).split(b"\n")
            yield from lines
