"""Capacity on a real API server with its controllers: what is told when pods fail, and what when they are moved.

The watcher may do what the manifests of ``knative/enrolled`` let it do, and no more.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from eventsources.apiserver import ApiServer
from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import open_cluster
from fuseboard.events.types import CapacityChanged, Failure, FailureDetected, Phase
from fuseboard.policy.validation import parse_document
from fuseboard.roles import Role
from fuseboard.settings import Settings
from fuseboard.testing.api_script import in_thread, until
from fuseboard.testing.http_server import LOOPBACK, listening
from fuseboard.testing.memory import MemoryCheckpoints, MemoryStore, opened
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.workloads.probe import Prober
from tests.cluster.access import SERVICE_ACCOUNT
from tests.cluster.kubelet import SOON, kubelet_says
from tests.cluster.moving import NEVER, Moving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuseboard.events.event import Event
    from fuseboard.stores.records import Entry
    from tests.cluster.cluster import Cluster

USER = f"{SERVICE_ACCOUNT}fuseboard:sources"
LEAST = 2
BRIEF_S = 1.5
"""How long a transient may last in which one watch is ahead of the other."""


@dataclass
class Clocked(MemoryOutbox):
    """A box that notes when it was given what."""

    times: list[float] = field(default_factory=list)

    def append(self, events: Sequence[Event], entry: Entry) -> None:
        super().append(events, entry)
        self.times += [time.monotonic()] * len(events)

    @property
    def facts(self) -> list[CapacityChanged]:
        """What was told of capacity."""
        return [each.data for each in self.events if isinstance(each.data, CapacityChanged)]

    @property
    def failures(self) -> list[Failure]:
        """What was told of failures."""
        found = (each.data.failures for each in self.events if isinstance(each.data, FailureDetected))
        return [failure for some in found for failure in some]

    def phases(self) -> set[Phase]:
        """Return the phases that were told."""
        return {each.phase for each in self.facts}

    def lacked_s(self) -> float:
        """Return for how long at most there were too few ready pods without an excuse."""
        longest, since = 0.0, 0.0
        for at, event in zip([*self.times, time.monotonic()], [*self.events, None], strict=True):
            longest = max(longest, at - since if since else 0.0)
            if event is not None and isinstance(event.data, CapacityChanged):
                fact = event.data
                lacks = fact.ready < min(LEAST, fact.desired) and fact.phase is Phase.STEADY
                since = (since or at) if lacks else 0.0
        return longest

    def settle(self, ready: int, desired: int, phase: Phase = Phase.STEADY) -> None:
        """Wait until this is what was told last."""
        until(lambda: self.facts[-1:] == [CapacityChanged(Role.TARGET, ready, desired, phase)], 30)


@contextmanager
def watching(
    cluster: Cluster,
    moving: Moving,
    box: MemoryOutbox,
    store: MemoryStore | None = None,
    **spec: Any,  # noqa: ANN401
) -> Iterator[ApiServer]:
    """Run the source for a namespace, with its own permissions, until the block ends."""
    moving.enrol()
    metadata = {"name": "login", "namespace": moving.space}
    document = {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": metadata}
    breakers = store or MemoryStore(lambda: round(time.time() * 1000))
    breakers.apply([parse_document(document | {"spec": {"target": {"name": "login", "minReady": LEAST}} | spec}, "")])
    found = open_cluster(Settings(kubeconfig=str(cluster.kubeconfig(USER))))
    assert isinstance(found, Kubernetes)
    source = ApiServer(breakers, box, MemoryCheckpoints(), found, prober=Prober(allow_loopback=True))
    source.watches.pace, source._rounds.every_s = SOON, 0.2
    with in_thread(source.run):
        yield source


@pytest.fixture
def moving(cluster: Cluster, namespace: str) -> Moving:
    """Return a namespace without a target yet."""
    return Moving(cluster, namespace)


@pytest.fixture
def box() -> Clocked:
    """Return an empty box."""
    return Clocked()


def test_a_slow_start_is_fresh(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """A new Deployment is fresh until it has been available once, and steady from then on."""
    with watching(cluster, moving, box):
        moving.make(ready_after="3s")
        box.settle(3, 3)

    assert box.phases() == {Phase.FRESH, Phase.STEADY}
    assert [each.ready for each in box.facts if each.phase is Phase.STEADY] == [3]


def test_pods_that_turn_unready_are_told_as_such(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """Their kubelet says so: nobody planned it."""
    moving.make()
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.unready(3)
        box.settle(0, 3)
        time.sleep(BRIEF_S + 0.5)

    assert box.phases() == {Phase.STEADY}
    assert box.lacked_s() > BRIEF_S


def test_a_container_that_dies_is_told_before_any_event(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """By its status, once for each death: K5."""
    moving.make()
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        uid = moving.die()
        until(lambda: len(box.failures) == 1)
        moving.die("Error", restarts=2)
        until(lambda: len(box.failures) == 2)

    assert [each.key for each in box.failures] == [f"{uid}/app/1", f"{uid}/app/2"]
    assert [each.reason for each in box.failures] == ["OOMKilled", "Error"]
    assert all(abs(each.started_at / 1000 - time.time()) < 30 for each in box.failures)


def test_pods_that_fail_are_replaced_and_told(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """Two come to the phase Failed: their containers' deaths count, and the new pods' start does not."""
    moving.make()
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.fail(2)
        until(lambda: len(box.failures) == 2)
        box.settle(3, 3)

    assert {each.reason for each in box.failures} == {"containerFailed"}
    assert min(each.ready for each in box.facts) < 3


def test_an_hpa_scales_in(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """First fewer are desired, then fewer are ready: never too few."""
    moving.make(replicas=4)
    moving.up(4)
    with watching(cluster, moving, box):
        box.settle(4, 4)
        moving.scale(1)
        box.settle(1, 1)

    assert (box.phases(), box.lacked_s(), box.failures) == ({Phase.STEADY}, 0.0, [])


def test_an_hpa_scales_out_slowly(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """The pods that are missing have just been made."""
    moving.make(replicas=1)
    moving.up(1)
    moving.roll(ready_after="3s")
    moving.up(1)
    with watching(cluster, moving, box):
        box.settle(1, 1)
        moving.scale(4)
        box.settle(4, 4)

    assert box.phases() == {Phase.STEADY, Phase.ROLLOUT}
    assert box.lacked_s() < BRIEF_S


def test_a_rolling_update(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """A rollout from the first pod to the last."""
    moving.make()
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.roll()
        until(lambda: Phase.ROLLOUT in box.phases(), 30)
        box.settle(3, 3)

    assert box.phases() == {Phase.STEADY, Phase.ROLLOUT}
    assert (box.lacked_s() < BRIEF_S, box.failures) == (True, [])


def test_a_recreation(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """All pods go, then all come, slowly."""
    moving.make(strategy={"type": "Recreate"})
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.roll(ready_after="3s")
        until(lambda: 0 in [each.ready for each in box.facts], 30)
        box.settle(3, 3)

    assert box.phases() == {Phase.STEADY, Phase.ROLLOUT}
    assert box.lacked_s() < BRIEF_S


def test_a_rollout_that_never_gets_ready_has_no_excuse_in_the_end(
    cluster: Cluster, moving: Moving, box: Clocked
) -> None:
    """Once it has exceeded its progress deadline it is steady: K27."""
    moving.make(strategy={"type": "Recreate"}, progressDeadlineSeconds=4)
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.roll(ready_after=NEVER)
        box.settle(0, 3, Phase.ROLLOUT)
        box.settle(0, 3)


@pytest.mark.parametrize("how", ["drain", "evict"])
def test_evictions(cluster: Cluster, moving: Moving, box: Clocked, how: str) -> None:
    """A disruption until the pods are back; what fails after that has no excuse."""
    moving.make()
    moving.up()
    moving.roll(ready_after="3s")
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.drain() if how == "drain" else moving.evict(2)
        until(lambda: Phase.DISRUPTION in box.phases())
        box.settle(3, 3)
        assert box.lacked_s() < BRIEF_S

        moving.unready(3)
        box.settle(0, 3)


def test_events_about_pods_that_leave_are_planned(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """Killing and Unhealthy of an evicted pod count for nothing; those of one that stays do: K26, K27."""
    moving.make()
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        names = {each["metadata"]["name"]: each["metadata"]["uid"] for each in moving.living()}
        moving.evict(1)
        until(lambda: Phase.DISRUPTION in box.phases())
        left = {each["metadata"]["name"] for each in moving.living()}
        (gone,) = names.keys() - left
        stays = min(names.keys() & left)
        for name in (gone, stays):
            about = {"kind": "Pod", "apiVersion": "v1", "namespace": moving.space, "name": name, "uid": names[name]}
            kubelet_says(cluster, about, reason="Unhealthy", message="Readiness probe failed: timeout")
        until(lambda: box.failures)

    assert [each.cause for each in box.failures] == [f"Unhealthy Pod/{stays}"]
    assert sum(each.detail.get("planned", 0) for each in box.entries) == 1


def test_a_stateful_set(cluster: Cluster, namespace: str, box: Clocked) -> None:
    """Fresh, rolled out pod by pod, scaled in, and failing."""
    moving = Moving(cluster, namespace, "statefulsets")
    target = {"kind": "StatefulSet", "name": "login", "minReady": LEAST}
    with watching(cluster, moving, box, target=target):
        moving.make(kind="StatefulSet", serviceName="login")
        box.settle(3, 3)
        assert box.phases() == {Phase.FRESH, Phase.STEADY}
        moving.roll()
        until(lambda: Phase.ROLLOUT in box.phases(), 30)
        box.settle(3, 3)
        assert box.lacked_s() < BRIEF_S
        moving.scale(1)
        box.settle(1, 1)
        moving.unready(1)
        box.settle(0, 1)

    assert box.failures == []


def test_a_target_that_is_deleted_lacks_nothing(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """Its pods are told as gone together with the wish for them."""
    moving.make()
    moving.up()
    with watching(cluster, moving, box):
        box.settle(3, 3)
        moving.api.delete(moving.path)
        box.settle(0, 0)

    assert (box.lacked_s(), box.failures) == (0.0, [])


def test_the_pods_of_an_open_breaker_are_asked(cluster: Cluster, moving: Moving, box: Clocked) -> None:
    """At the address that their status names, on the port that the policy names."""
    store = MemoryStore(lambda: round(time.time() * 1000))
    moving.make()
    moving.up()
    moving.address(LOOPBACK)
    with listening(b"HTTP/1.1 503 No\r\n\r\n") as serving:
        recover = {"probe": {"http": "/healthz", "port": serving.port}}
        with watching(cluster, moving, box, store, recover=recover):
            box.settle(3, 3)
            assert serving.asked == []
            store.change(f"{moving.space}/login", opened)
            until(lambda: box.facts[-1].probe.endswith("it answers 503"))

    assert serving.asked[0].startswith(b"GET /healthz HTTP/1.1\r\n")
