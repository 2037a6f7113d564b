"""The Service route on a real API server, with failover's own ServiceAccount: moved, fenced, undone, raced, killed."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from msgspec.structs import replace

from functions.failover import Failover
from fuseboard.breaker.placement import Result, Shares
from fuseboard.breaker.state import State
from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import open_cluster
from fuseboard.errors import Busy
from fuseboard.events.event import Event
from fuseboard.events.types import FailoverCompleted, FailoverReverted, StepDue
from fuseboard.failover.begin import LEASE_MS
from fuseboard.policy.validation import parse_document
from fuseboard.settings import Settings
from fuseboard.stores.records import Change
from fuseboard.testing.memory import MemoryStore
from tests.cluster.standing import SPACE, enrol, policy, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Manifest
    from tests.cluster.cluster import Cluster

PRIMARY, STANDBY = {"app": "login", "role": "primary"}, {"app": "login", "role": "standby"}
FAILOVER = f"system:serviceaccount:{SPACE}:failover"


class Panel:
    """One breaker in a store whose clock is set by hand, over a Service of the real API server."""

    def __init__(self, cluster: Cluster, space: str) -> None:
        enrol(cluster, space)
        self.cluster, self.space, self.key, self.now = cluster, space, f"{space}/login", 1_000_000
        self.acting = open_cluster(Settings(kubeconfig=str(cluster.kubeconfig(FAILOVER))))
        self.store = self.forgetful()

    def forgetful(self) -> MemoryStore:
        """Return a store that knows the policy, and nothing else."""
        store = MemoryStore(lambda: self.now)
        store.apply([parse_document(policy(self.space), "test")])
        return store

    def ask(self, state: State) -> Event:
        """Move the breaker; return an event that wakes failover."""

        def decide(record: Row) -> Change:
            moved = replace(record.state, state=state, epoch=record.state.epoch + 1, since=record.now)
            return Change(moved, record.placement)

        epoch = self.store.change(self.key, decide).state.epoch
        return Event(id=f"epoch-{epoch}", source="/test", subject=self.key, data=StepDue(due_at=self.now))

    def failover(self, acting: object = None) -> Failover:
        """Return an executor."""
        return Failover(self.store, acting or self.acting)  # type: ignore[arg-type]

    def service(self) -> dict[str, Any]:
        """Return the Service."""
        return self.cluster.api.get(f"/api/v1/namespaces/{self.space}/services/login")

    def owed(self) -> bool:
        """Whether the placement is still owed."""
        record = self.store.read(self.key)
        return record.debt_due is not None


@pytest.fixture
def panel(cluster: Cluster, namespace: str) -> Panel:
    """Return a breaker in a namespace of its own."""
    return Panel(cluster, namespace)


class Interrupted:
    """The real cluster, with something that happens around its patches."""

    rehearses: ClassVar[bool] = False

    def __init__(self, cluster: object, before: object = None, after: object = None) -> None:
        self._cluster: Any = cluster
        self._before: Any = before
        self._after: Any = after

    def within(self, _: float) -> Interrupted:
        return self  # what happens in between may take longer than a step

    def get(self, path: str) -> Manifest:
        found: Manifest = self._cluster.get(path)
        return found

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        found: list[Manifest] | None = self._cluster.list(path, label_selector)
        return found

    def patch(self, path: str, body: Manifest) -> None:
        before, self._before = self._before, None
        if before is not None:
            before()
        self._cluster.patch(path, body)
        after, self._after = self._after, None
        if after is not None:
            after()

    def check(self) -> None:
        self._cluster.check()


class Killed(BaseException):
    """The executor dies here."""


def die() -> None:
    """Die."""
    raise Killed


def without_traces(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Service without what every write changes, and without the fence that stays."""
    meta = dict(service["metadata"])
    for name in ("resourceVersion", "managedFields", "generation"):
        meta.pop(name, None)
    kept = {name: value for name, value in meta.pop("annotations", {}).items() if "fuseboard" not in name}
    return {**service, "metadata": {**meta, **({"annotations": kept} if kept else {})}}


def test_moved_verified_and_returned_to_the_byte(panel: Panel) -> None:
    """To both, to the standby and back: nothing of the Service differs afterwards but the fence."""
    before = panel.service()
    for state, selector in ((State.LIMITED, {"app": "login"}), (State.OPEN, STANDBY), (State.HALF_OPEN, PRIMARY)):
        reply = panel.failover().handle(panel.ask(state))
        assert reply is not None
        assert isinstance(reply.data, FailoverCompleted)
        assert panel.service()["spec"]["selector"] == selector
        assert not panel.owed()

    assert without_traces(panel.service()) == without_traces(before)


def test_a_store_that_forgot_is_fenced(panel: Panel) -> None:
    """The Service carries epoch 3; a store that begins anew asks with epoch 1: nothing is patched, it holds."""
    for state in (State.LIMITED, State.HALF_OPEN, State.OPEN):
        panel.failover().handle(panel.ask(state))
    before = panel.service()
    panel.store = panel.forgetful()

    panel.failover().handle(panel.ask(State.HALF_OPEN))

    assert panel.service() == before
    assert panel.store.read(panel.key).state.epoch == 4
    assert panel.store.read(panel.key).state.held_until > panel.now


def test_somebody_elses_selector_is_left_alone(panel: Panel) -> None:
    """A selector that is neither target's nor standby's is not overwritten."""
    path = f"/api/v1/namespaces/{panel.space}/services/login"
    panel.cluster.api.patch(path, {"spec": {"selector": {"role": None, "app": "maintenance"}}})
    before = panel.service()

    panel.failover().handle(panel.ask(State.OPEN))

    assert panel.service() == before
    assert panel.store.read(panel.key).placement.result is Result.REFUSED


def test_a_standby_without_pods_gets_no_traffic(panel: Panel) -> None:
    """Refused before any change; once its pod is there, the debt is paid."""
    _scale(panel, 0)
    before = panel.service()
    event = panel.ask(State.OPEN)

    panel.failover().handle(event)
    assert panel.service() == before
    assert panel.owed()

    _scale(panel, 1)
    panel.now += 10_000
    panel.failover().handle(event)
    assert panel.service()["spec"]["selector"] == STANDBY


def test_a_move_that_does_not_hold_is_undone(panel: Panel) -> None:
    """The standby's pods go away between the patch and the look: the selector is put back, and the fence rises."""
    before = panel.service()
    losing = Interrupted(panel.acting, after=lambda: _scale(panel, 0))

    reply = panel.failover(losing).handle(panel.ask(State.OPEN))

    assert reply is not None
    assert isinstance(reply.data, FailoverReverted)
    assert without_traces(panel.service()) == without_traces(before)
    assert panel.store.read(panel.key).placement.shares == Shares()


def test_two_executors_race(panel: Panel) -> None:
    """Two get the same event at once: the Service is patched once, and both are content or told to wait."""
    event, barrier, ends = panel.ask(State.OPEN), Barrier(2), list[str]()

    def run() -> None:
        barrier.wait()
        try:
            panel.failover().handle(event)
            ends.append("done")
        except Busy:
            ends.append("busy")

    threads = [Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "done" in ends
    entries = [each for each in panel.store.journal([panel.key], 100) if each.kind == "result" and each.patch]
    assert len(entries) == 1
    assert panel.service()["spec"]["selector"] == STANDBY


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_executor_is_killed_around_its_patch(panel: Panel, when: str) -> None:
    """Within the lease nobody else acts; then the next one finds out whether it was applied, and acts once."""
    event = panel.ask(State.OPEN)
    dying = Interrupted(panel.acting, **{when: die})
    with pytest.raises(Killed):
        panel.failover(dying).handle(event)
    between = panel.service()
    with pytest.raises(Busy):
        panel.failover().handle(event)
    assert panel.service() == between

    panel.now += LEASE_MS
    panel.failover().handle(event)

    assert panel.service()["spec"]["selector"] == STANDBY
    assert not panel.owed()
    panel.failover().handle(panel.ask(State.HALF_OPEN))
    assert panel.service()["spec"]["selector"] == PRIMARY


def test_a_late_patch_of_one_that_was_overtaken_does_not_land(panel: Panel) -> None:
    """An executor sleeps before its patch; the breaker has moved on: the version it read is gone."""
    event = panel.ask(State.OPEN)

    def overtaken() -> None:
        panel.failover().handle(panel.ask(State.HALF_OPEN))

    panel.failover(Interrupted(panel.acting, before=overtaken)).handle(event)

    assert panel.service()["spec"]["selector"] == PRIMARY
    assert panel.store.read(panel.key).placement.shares == Shares()


def test_it_acts_as_kubernetes_lets_it(panel: Panel) -> None:
    """What acts here is the ServiceAccount with the Role of an enrolled namespace, and nothing more."""
    assert isinstance(panel.acting, Kubernetes)
    with panel.cluster.acting_as(FAILOVER) as api, pytest.raises(Exception, match="403"):
        api.patch(f"/api/v1/namespaces/{SPACE}x/services/login", {"metadata": {"labels": {"a": "b"}}})


def _scale(panel: Panel, replicas: int) -> None:
    path = f"/apis/apps/v1/namespaces/{panel.space}/deployments/login-standby"
    panel.cluster.api.patch(path, {"spec": {"replicas": replicas}})
    pods = f"/api/v1/namespaces/{panel.space}/pods"

    def settled() -> bool:
        found = panel.cluster.api.get(pods, labelSelector="role=standby")["items"]
        ready = [
            each
            for each in found
            if any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in each.get("status", {}).get("conditions", ())
            )
        ]
        return len(ready) == len(found) == replicas

    wait_for(f"{replicas} standby pods", settled, str)
