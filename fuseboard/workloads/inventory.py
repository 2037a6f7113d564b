"""The workloads of the breaker table and their pods, as the watches report them.

A workload is known through two watches, of its kind and of pods, whose reports arrive in any order. The inventory holds
the latest report of each object and remembers which workloads have changed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from fuseboard.cluster.names import DEPLOYMENT, POD, REPLICA_SET, STATEFUL_SET
from fuseboard.signals.targets import InvolvedObject
from fuseboard.workloads import pods, rollout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from fuseboard.policy.spec import Policy, Workload
    from fuseboard.workloads.owners import OwnerResolver
    from fuseboard.workloads.pods import Pod
    from fuseboard.workloads.status import WorkloadStatus

MAX_DELETED_PODS: Final = 4_096
"""Deleted pods to remember: Events about a pod arrive after its deletion."""


class WorkloadKey(NamedTuple):
    """Namespace, kind and name of a workload."""

    namespace: str
    kind: str
    name: str


def workload_key(policy: Policy, workload: Workload) -> WorkloadKey:
    """Return the key of a policy's target or standby."""
    return WorkloadKey(policy.namespace, workload.kind.value, workload.name)


@dataclass(slots=True)
class KnownWorkload:
    """A workload and its pods, as last reported."""

    key: WorkloadKey
    status: WorkloadStatus | None = None
    """None before the first report, and after deletion."""
    pods: dict[str, Pod] = field(default_factory=dict)
    """Pods by uid."""
    template: str = ""
    """The template that the controller had rolled out or begun to roll out when it last caught up with the spec."""
    was_available: bool = False
    disrupted_at: int = 0
    recovered_at: int = 0
    deleted: str = ""
    """Uid and generation of the deleted workload; empty while the workload exists, or if it never did."""

    def update(self, status: WorkloadStatus) -> None:
        """Store a new report."""
        if self.status is not None and self.status.uid != status.uid:
            self.was_available, self.template = False, ""
        self.status, self.deleted = status, ""
        self.was_available = self.was_available or status.is_available
        if not status.is_behind:
            self.template = status.template

    def delete(self) -> None:
        """Note that the workload was deleted."""
        if self.status is not None:
            self.deleted = f"{self.status.uid} {self.status.generation}"
        self.status, self.was_available, self.template = None, False, ""

    @property
    def desired(self) -> int:
        """How many pods the workload should have; 0 if the workload does not exist."""
        return self.status.desired if self.status is not None else 0

    @property
    def ready_pods(self) -> list[Pod]:
        """The ready pods of the workload, in the order of their uids."""
        return sorted((pod for pod in self.pods.values() if pod.is_ready), key=lambda pod: pod.uid)

    def view(self, now: int) -> rollout.WorkloadView | None:
        """Return the input of the phase rules; a workload with all pods ready again has recovered from disruption."""
        if self.status is None:
            return None
        uid, desired = self.status.uid, self.status.desired
        own = [pod for pod in self.pods.values() if pod.owner[0] != STATEFUL_SET or pod.owner[2] == uid]
        self.disrupted_at = max([self.disrupted_at, *(pod.disrupted_at for pod in own)])
        # A disrupted pod stays ready until its deletion: it does not count as recovered.
        if sum(pod.is_ready and not pod.disrupted_at for pod in own) >= desired:
            self.recovered_at = self.disrupted_at
        disrupted_at = self.disrupted_at if self.disrupted_at > self.recovered_at else 0
        return rollout.WorkloadView(self.status, own, now, self.template, self.was_available, disrupted_at)


class PodChange(NamedTuple):
    """A pod of a known workload that was created or has changed."""

    before: Pod | None
    pod: Pod
    workload: WorkloadKey


class KnownPods:
    """Pods of known workloads by uid, and the uids of pods that were deleted recently."""

    def __init__(self) -> None:
        """Start empty."""
        self._pods: dict[str, tuple[Pod, WorkloadKey]] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def get(self, uid: str) -> tuple[Pod, WorkloadKey] | None:
        """Return a pod and the key of its workload."""
        return self._pods.get(uid)

    def of(self, namespace: str) -> list[str]:
        """Return the uids of a namespace's pods."""
        return [uid for uid, (pod, _) in self._pods.items() if pod.namespace == namespace]

    def was_deleted(self, uid: str) -> bool:
        """Say whether a pod of a known workload was deleted or released recently."""
        return uid in self._deleted

    def put(self, pod: Pod, key: WorkloadKey) -> None:
        """Store a pod."""
        self._pods[pod.uid] = pod, key

    def drop(self, uid: str) -> None:
        """Remove a pod whose workload is no longer of interest."""
        del self._pods[uid]

    def delete(self, uid: str) -> WorkloadKey | None:
        """Remove a deleted pod, remember its uid, and return the key of its workload; None for an unknown pod."""
        if uid not in self._pods:
            return None
        _, key = self._pods.pop(uid)
        self._deleted[uid] = None
        if len(self._deleted) > MAX_DELETED_PODS:
            self._deleted.popitem(last=False)
        return key


class Inventory:
    """The workloads of the breaker table, and no others; used by one thread."""

    def __init__(self, owners: OwnerResolver) -> None:
        """Start empty; ``owners`` reads the owner of a ReplicaSet."""
        self.pods = KnownPods()
        self.wanted: Mapping[tuple[str, str], AbstractSet[str]] = {}
        """Names of the workloads, by namespace and kind."""
        self._owners = owners
        self._workloads: dict[WorkloadKey, KnownWorkload] = {}
        self._listed: set[tuple[str, str]] = set()
        self._changed: set[WorkloadKey] = set()

    def watch(self, keys: AbstractSet[WorkloadKey]) -> None:
        """Keep these workloads from now on, and drop all others."""
        for key in self._workloads.keys() - keys:
            for uid in self._workloads.pop(key).pods:
                self.pods.drop(uid)
        for key in keys:
            self._workloads.setdefault(key, KnownWorkload(key))
        self.wanted = _names_by_kind(keys)
        self._changed = set(keys)

    def unlist(self, namespaces: AbstractSet[str]) -> None:
        """Treat all workloads of these namespaces as unknown until they are listed again."""
        self._listed = {each for each in self._listed if each[0] not in namespaces}

    def workload(self, key: WorkloadKey) -> KnownWorkload | None:
        """Return a workload of the table."""
        return self._workloads.get(key)

    def listed_workload(self, key: WorkloadKey) -> KnownWorkload | None:
        """Return a workload of the table; None unless both workloads of its kind and pods have been listed."""
        both = {(key.namespace, key.kind), (key.namespace, POD)}
        return self._workloads.get(key) if both <= self._listed else None

    def take_changed(self) -> set[WorkloadKey]:
        """Return the workloads that have changed since the last call."""
        changed, self._changed = self._changed & self._workloads.keys(), set()
        return changed

    def replace_workloads(self, namespace: str, kind: str, listed: Iterable[WorkloadStatus]) -> None:
        """Store a list of all workloads of a kind; workloads that are missing from it were deleted."""
        self._listed.add((namespace, kind))
        by_name = {status.name: status for status in listed}
        for key, known in self._workloads.items():
            if key[:2] == (namespace, kind):
                self._changed.add(key)
                known.update(by_name[key.name]) if key.name in by_name else known.delete()

    def update_workload(self, namespace: str, status: WorkloadStatus, *, is_deleted: bool = False) -> None:
        """Store a workload that was created, changed or deleted."""
        key = WorkloadKey(namespace, status.kind, status.name)
        known = self._workloads.get(key)
        if known is not None:
            self._changed.add(key)
            known.delete() if is_deleted else known.update(status)

    def replace_pods(self, namespace: str, listed: Iterable[Pod]) -> list[PodChange]:
        """Store a list of all pods of a namespace; pods that are missing from it were deleted."""
        self._listed.add((namespace, POD))
        self._changed |= {key for key in self._workloads if key.namespace == namespace}
        by_uid = {pod.uid: pod for pod in listed}
        for uid in self.pods.of(namespace):
            if uid not in by_uid:
                self.delete_pod(uid)
        changes = map(self.update_pod, by_uid.values())
        return [change for change in changes if change is not None]

    def update_pod(self, pod: Pod) -> PodChange | None:
        """Store a pod that was created or has changed; return None unless it belongs to a known workload."""
        key = self._workload_of(pod)
        if key is None:
            self.delete_pod(pod.uid)  # released by its controller, for debugging: it no longer gets traffic
            return None
        before, previous = self.pods.get(pod.uid) or (None, key)
        if previous != key:
            self._workloads[previous].pods.pop(pod.uid, None)
        self._changed |= {previous, key}
        pod = pods.carry_over(before, pod)
        self.pods.put(pod, key)
        self._workloads[key].pods[pod.uid] = pod
        return PodChange(before, pod, key)

    def delete_pod(self, uid: str) -> None:
        """Note that a pod was deleted."""
        key = self.pods.delete(uid)
        if key is not None:
            self._workloads[key].pods.pop(uid, None)
            self._changed.add(key)

    def _workload_of(self, pod: Pod) -> WorkloadKey | None:
        """Return the known workload that a pod belongs to.

        The name of a ReplicaSet begins with the name of its Deployment: only ReplicaSets of known Deployments are read
        from the API server. If reading fails, the name decides.
        """
        kind, name, uid = pod.owner
        owner = (kind, name)
        if kind == REPLICA_SET:
            by_name = (DEPLOYMENT, pod.deployment)
            if pod.deployment and (pod.namespace, *by_name) not in self._workloads:
                return None
            owners = self._owners.owners(InvolvedObject(pod.namespace, kind, name), uid)
            owner = next((each for each in owners if each[0] == DEPLOYMENT), ("", "") if owners else by_name)
        key = WorkloadKey(pod.namespace, *owner)
        return key if key in self._workloads else None


def _names_by_kind(keys: Iterable[WorkloadKey]) -> dict[tuple[str, str], frozenset[str]]:
    names: dict[tuple[str, str], set[str]] = {}
    for namespace, kind, name in keys:
        names.setdefault((namespace, kind), set()).add(name)
    return {which: frozenset(each) for which, each in names.items()}
