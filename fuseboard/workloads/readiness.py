"""How many pods of each target and standby are ready, why they are not, and what has died: told when it changes.

What is known of a workload comes by two watches, of its kind and of pods, in any order. A fact is told once both have
been heard. Its id follows from what it says, from the objects' own stamps and from the fact before it: two watchers
that see the same give it the same id, and what is so again is another fact. A watcher that saw something in between
gives the next fact an id of its own, so that the last one it tells is never taken for a duplicate of what came before.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.cluster.names import DEPLOYMENT, POD, REPLICA_SET, STATEFUL_SET
from fuseboard.events.event import Event, digest
from fuseboard.events.types import CapacityChanged, Phase
from fuseboard.roles import Role
from fuseboard.signals.targets import InvolvedObject
from fuseboard.times import duration_ms
from fuseboard.workloads import pods
from fuseboard.workloads import rollout as phases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.workloads.owners import OwnerResolver
    from fuseboard.workloads.pods import Pod
    from fuseboard.workloads.status import WorkloadStatus

    Key = tuple[str, str, str]
    """Namespace, kind and name of a workload."""

TOLD_AGAIN_MS: Final = 30_000
"""What a probe says, and that ready pods are lacking, is told again after so long: a breaker forgets it in time."""
_PASSING: Final = frozenset({Phase.FRESH, Phase.DISRUPTION})
"""Phases that end by time alone."""
GONE: Final = 4_096
"""Pods that are gone and are still remembered: Events about them come late."""


class Fact(Struct, frozen=True):
    """What was told last to one breaker of one of its workloads."""

    data: CapacityChanged
    id: str
    told_at: int


@dataclass(slots=True)
class _Known:
    """What is known of one workload."""

    key: Key
    roles: tuple[tuple[str, Role], ...]
    status: WorkloadStatus | None = None
    pods: dict[str, Pod] = field(default_factory=dict)
    template: str = ""
    was_available: bool = False
    disrupted_at: int = 0
    recovered_at: int = 0
    gone: str = ""
    """Which workload it was that is no more; empty while there is one, or never was."""

    def learn(self, status: WorkloadStatus) -> None:
        """Take in what it says of itself."""
        if self.status is not None and self.status.uid != status.uid:
            self.was_available, self.template = False, ""
        self.status, self.gone = status, ""
        self.was_available = self.was_available or status.is_available
        if not status.is_behind:
            self.template = status.template

    def lose(self) -> None:
        """It is no more."""
        if self.status is not None:
            self.gone = f"{self.status.uid} {self.status.generation}"
        self.status, self.was_available, self.template = None, False, ""

    def view(self, status: WorkloadStatus, now: int) -> phases.View:
        """Return what its phase follows from; one that is complete again is disrupted no longer."""
        own = [pod for pod in self.pods.values() if pod.owner[0] != STATEFUL_SET or pod.owner[2] == status.uid]
        self.disrupted_at = max([self.disrupted_at, *(pod.disrupted_at for pod in own)])
        # One that was told to leave is ready until it is deleted, and is not back.
        if sum(pod.is_ready and not pod.disrupted_at for pod in own) >= status.desired:
            self.recovered_at = self.disrupted_at
        disrupted_at = self.disrupted_at if self.disrupted_at > self.recovered_at else 0
        return phases.View(status, own, now, self.template, self.was_available, disrupted_at)


class Readiness:
    """Knows the workloads of the breaker table and their pods, and no others; used by one thread."""

    def __init__(self, owners: OwnerResolver) -> None:
        """``owners`` says whose a ReplicaSet is."""
        self._owners = owners
        self._known: dict[Key, _Known] = {}
        self._listed: set[tuple[str, str]] = set()
        self._pods: dict[str, tuple[Pod, Key]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._told: dict[tuple[str, Role], Fact] = {}
        self._probes: dict[str, str] = {}
        self._policies: Mapping[str, Policy] = {}
        self._stale: set[Key] = set()
        """Workloads of which something may be so that was not told."""
        self.wanted: Mapping[tuple[str, str], frozenset[str]] = {}
        """Names of the table's workloads, by namespace and kind."""

    def know(self, policies: Mapping[str, Policy]) -> None:
        """Take these for the breaker table from now on."""
        roles: dict[Key, tuple[tuple[str, Role], ...]] = {}
        for breaker, policy in policies.items():
            for role, workload in ((Role.TARGET, policy.spec.target), (Role.STANDBY, policy.spec.standby)):
                if workload is not None:
                    key = (policy.namespace, workload.kind.value, workload.name)
                    roles[key] = (*roles.get(key, ()), (breaker, role))
        for key in self._known.keys() - roles.keys():
            for uid in self._known.pop(key).pods:
                del self._pods[uid]
        for key, some in roles.items():
            self._known.setdefault(key, _Known(key, some)).roles = some
        self._stale = set(roles)
        self.wanted = _by_kind(roles)
        every = {each for some in roles.values() for each in some}
        self._told = {each: fact for each, fact in self._told.items() if each in every}
        self._probes = {breaker: result for breaker, result in self._probes.items() if breaker in policies}
        self._policies = policies

    def unlist(self, namespaces: AbstractSet[str]) -> None:
        """Tell nothing of these until all is listed again: what was left out before may count now."""
        self._listed = {each for each in self._listed if each[0] not in namespaces}

    # -- what the watches hear ---------------------------------------------------------------------------------------

    def statuses(self, namespace: str, kind: str, found: Iterable[WorkloadStatus]) -> None:
        """Take in all workloads of a kind; those that are not there are no more."""
        self._listed.add((namespace, kind))
        there = {status.name: status for status in found}
        for key, known in self._known.items():
            if key[:2] == (namespace, kind):
                self._stale.add(key)
                known.learn(there[key[2]]) if key[2] in there else known.lose()

    def status(self, namespace: str, status: WorkloadStatus, *, is_gone: bool = False) -> None:
        """Take in that a workload has come, changed or gone."""
        key = (namespace, status.kind, status.name)
        known = self._known.get(key)
        if known is not None:
            self._stale.add(key)
            known.lose() if is_gone else known.learn(status)

    def all_pods(self, namespace: str, found: Iterable[Pod], now: int) -> Iterator[tuple[str, Failure]]:
        """Take in all pods of a namespace; yield what has died, and for which breaker that counts."""
        self._listed.add((namespace, POD))
        self._stale |= {key for key in self._known if key[0] == namespace}
        there = {pod.uid: pod for pod in found}
        for uid in [uid for uid, (pod, _) in self._pods.items() if pod.namespace == namespace and uid not in there]:
            self.forget(uid)
        for pod in there.values():
            yield from self.pod(pod, now)

    def pod(self, pod: Pod, now: int) -> Iterator[tuple[str, Failure]]:
        """Take in that a pod has come or changed; yield what has died, and for which breaker that counts."""
        key = self._workload(pod)
        if key is None:
            self.forget(pod.uid)  # it was let go: whoever looks at it now does so beside the traffic
            return
        before, was = self._pods.get(pod.uid, (None, key))
        if was != key:
            self._known[was].pods.pop(pod.uid, None)
        self._stale |= {was, key}
        pod = pods.carry_over(before, pod)
        self._pods[pod.uid] = pod, key
        known = self._known[key]
        known.pods[pod.uid] = pod
        for breaker in (breaker for breaker, role in known.roles if role is Role.TARGET):
            window = duration_ms(self._policies[breaker].spec.trip.window)
            for failure in pods.container_failures(before, pod, now - window):
                yield breaker, failure

    def forget(self, uid: str) -> None:
        """Take in that a pod is no more."""
        if uid in self._pods:
            _, key = self._pods.pop(uid)
            self._known[key].pods.pop(uid, None)
            self._stale.add(key)
            self._gone[uid] = None
            if len(self._gone) > GONE:
                self._gone.popitem(last=False)

    def _workload(self, pod: Pod) -> Key | None:
        """Return the workload of the table that a pod belongs to.

        A ReplicaSet that a Deployment made bears its name, so that only those of the table are asked about. Where it
        cannot be read the name decides.
        """
        kind, name, uid = pod.owner
        found = (kind, name)
        if kind == REPLICA_SET:
            by_name = (DEPLOYMENT, pod.made_by)
            if pod.made_by and (pod.namespace, *by_name) not in self._known:
                return None
            owners = self._owners.owners(InvolvedObject(pod.namespace, kind, name), uid)
            found = next((each for each in owners if each[0] == DEPLOYMENT), ("", "") if owners else by_name)
        key = (pod.namespace, *found)
        return key if key in self._known else None

    # -- what a probe says -------------------------------------------------------------------------------------------

    def probed(self, policy: Policy, result: str) -> None:
        """Take in what the target's own pods answer; empty when they are no longer asked."""
        self._probes[policy.key] = result
        self._stale.add(_target(policy))

    def desired(self, policy: Policy) -> int | None:
        """Return how many pods of a breaker's target are wanted; None where it is not known."""
        key = _target(policy)
        known = self._known.get(key)
        if known is None or not self._is_listed(key):
            return None
        return known.status.desired if known.status is not None else 0

    def serving(self, policy: Policy) -> list[Pod]:
        """Return the ready pods of a breaker's target."""
        known = self._known.get(_target(policy))
        found = known.pods.values() if known is not None else ()
        return sorted((pod for pod in found if pod.is_ready), key=lambda pod: pod.uid)

    # -- what is asked of it -----------------------------------------------------------------------------------------

    def find(self, uid: str) -> Pod | None:
        """Return a pod of the table's workloads."""
        return self._pods[uid][0] if uid in self._pods else None

    def owners(self, uid: str) -> tuple[tuple[str, str], ...]:
        """Return kind and name of the table's workload that a pod belongs to; nothing where it is nobody's."""
        return (self._pods[uid][1][1:],) if uid in self._pods else ()

    def is_planned(self, uid: str, now: int, *, slow: bool) -> bool:
        """Say whether what is said of a pod is what planned work brings: it leaves, or is gone.

        With ``slow``, what is said is that the pod is not ready yet; new pods of a rollout may be.
        """
        if uid not in self._pods:
            return uid in self._gone
        pod, key = self._pods[uid]
        if pod.is_planned_away:
            return True
        known = self._known[key]
        if not slow or pod.was_ready or known.status is None:
            return False
        return phases.phase(known.view(known.status, now)) in (Phase.FRESH, Phase.ROLLOUT)

    # -- what is told ------------------------------------------------------------------------------------------------

    def facts(self, source: str, now: int) -> Iterator[Event]:
        """Yield what is so now and was not told yet."""
        stale, self._stale = self._stale & self._known.keys(), set()
        for key in sorted(stale):
            known = self._known[key]
            seen = self._seen(known, now)
            if seen is None:
                continue
            if seen[0].phase in _PASSING:
                self._stale.add(key)
            for which in known.roles:
                if self._is_to_be_probed(*which):
                    self._stale.add(key)
                    continue
                data = self._data(which, seen[0])
                matters = self._matters(data, which[0])
                if matters:
                    self._stale.add(key)
                told = self._told.get(which)
                if told is not None and told.data == data and not (matters and now >= told.told_at + TOLD_AGAIN_MS):
                    continue
                yield self._tell(source, which, data, seen[1], now)

    def _is_listed(self, key: Key) -> bool:
        namespace, kind, _ = key
        return {(namespace, kind), (namespace, POD)} <= self._listed

    def _seen(self, known: _Known, now: int) -> tuple[CapacityChanged, str] | None:
        """Return what is so, whosever role it is, and the stamps that make it this fact; None where it is not known."""
        if not self._is_listed(known.key):
            return None
        if known.status is None:
            return (CapacityChanged(Role.TARGET, 0, 0), known.gone) if known.gone else None
        view = known.view(known.status, now)
        serving = sorted(f"{pod.uid}@{pod.turned_at}" for pod in view.pods if pod.is_ready)
        status = known.status
        stamps = (status.uid, str(status.generation), status.stamp, str(view.disrupted_at), *serving)
        return CapacityChanged(Role.TARGET, view.ready, status.desired, phases.phase(view)), digest(*stamps)

    def _is_to_be_probed(self, breaker: str, role: Role) -> bool:
        """Say whether it is not known yet whether a probe says anything: without, it would seem that none does."""
        has_probe = self._policies[breaker].spec.recover.probe is not None
        return has_probe and role is Role.TARGET and breaker not in self._probes

    def _data(self, which: tuple[str, Role], seen: CapacityChanged) -> CapacityChanged:
        breaker, role = which
        probe = self._probes.get(breaker, "") if role is Role.TARGET else ""
        return CapacityChanged(role, seen.ready, seen.desired, seen.phase, probe)

    def _matters(self, data: CapacityChanged, breaker: str) -> bool:
        """Say whether a breaker must hear this again: it forgets what it is not told for some minutes."""
        spec = self._policies[breaker].spec
        workload = spec.target if data.role is Role.TARGET else spec.standby
        return bool(data.probe) or (workload is not None and data.ready < min(workload.min_ready, data.desired))

    def _tell(self, source: str, which: tuple[str, Role], data: CapacityChanged, stamps: str, now: int) -> Event:
        breaker, role = which
        before = self._told.get(which)
        said = (role.value, str(data.ready), str(data.desired), data.phase.value, data.probe)
        name = digest("capacity", breaker, *said, stamps, before.id if before is not None else "")
        self._told[which] = Fact(data, name, now)
        return Event(id=name, source=source, subject=breaker, data=data)


def _target(policy: Policy) -> Key:
    return policy.namespace, policy.spec.target.kind.value, policy.spec.target.name


def _by_kind(keys: Iterable[Key]) -> dict[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for namespace, kind, name in keys:
        found.setdefault((namespace, kind), set()).add(name)
    return {which: frozenset(names) for which, names in found.items()}
