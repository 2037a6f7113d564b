"""The readiness of targets and standbys: how many pods are ready, in which phase, and when to report a change.

A fact is reported when both watches, of the workload's kind and of pods, have listed their objects, and again whenever
its content changes. The id of the event follows from the content, from the objects' own timestamps and from the fact
that was reported before. Two watchers that see the same changes therefore send the same ids, and a return to an
earlier content is a new fact. A watcher that saw a change which the other missed sends its next fact under an id of its
own, so that its latest fact is never taken for a duplicate of an earlier fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.events.event import Event, digest
from fuseboard.events.types import CapacityChanged, Phase
from fuseboard.roles import Role
from fuseboard.times import duration_ms
from fuseboard.workloads import pods, rollout
from fuseboard.workloads.inventory import workload_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.workloads.inventory import Inventory, KnownWorkload, PodChange, WorkloadKey

REPEAT_AFTER_MS: Final = 30_000
"""A probe's result and a lack of ready pods are reported again after this time: a breaker forgets them otherwise."""

_PHASES_THAT_EXPIRE: Final = frozenset({Phase.FRESH, Phase.DISRUPTION})
"""Phases that end after a time, without any change of an object."""

_PHASES_WITH_STARTING_PODS: Final = frozenset({Phase.FRESH, Phase.ROLLOUT})

_RoleOf = tuple[str, Role]
"""Key of a breaker, and which of its two workloads is meant."""


class ReportedFact(Struct, frozen=True):
    """The last fact that was reported to a breaker about one of its workloads."""

    data: CapacityChanged
    id: str
    reported_at: int


class FactReports:
    """The last reported facts, and the events that report new ones."""

    def __init__(self) -> None:
        """Start with no reports."""
        self._last: dict[_RoleOf, ReportedFact] = {}

    def keep_only(self, known: AbstractSet[_RoleOf]) -> None:
        """Forget all reports but those for these breakers and roles."""
        self._last = {which: fact for which, fact in self._last.items() if which in known}

    def is_due(self, breaker: str, data: CapacityChanged, now: int, *, repeats: bool) -> bool:
        """Say whether to report a fact: a new fact always, and with ``repeats`` also a fact reported long ago."""
        last = self._last.get((breaker, data.role))
        return last is None or last.data != data or (repeats and now >= last.reported_at + REPEAT_AFTER_MS)

    def report(self, source: str, breaker: str, data: CapacityChanged, timestamps: str, now: int) -> Event:
        """Return the event that reports a fact; ``timestamps`` is a digest of the objects' own timestamps."""
        last = self._last.get((breaker, data.role))
        content = (data.role.value, str(data.ready), str(data.desired), data.phase.value, data.probe)
        name = digest("capacity", breaker, *content, timestamps, last.id if last is not None else "")
        self._last[breaker, data.role] = ReportedFact(data, name, now)
        return Event(id=name, source=source, subject=breaker, data=data)


class Readiness:
    """Judges the workloads of an inventory and reports what has changed; used by one thread."""

    def __init__(self, inventory: Inventory) -> None:
        """Start with an empty breaker table."""
        self._inventory = inventory
        self._reports = FactReports()
        self._policies: Mapping[str, Policy] = {}
        self._roles: Mapping[WorkloadKey, tuple[_RoleOf, ...]] = {}
        self._probe_results: dict[str, str] = {}
        self._pending: set[WorkloadKey] = set()
        """Workloads to judge again although no object has changed."""

    def set_table(self, policies: Mapping[str, Policy]) -> None:
        """Use these policies from now on."""
        self._policies, self._roles = policies, _roles_by_workload(policies)
        self._inventory.watch(self._roles.keys())
        self._reports.keep_only({role for roles in self._roles.values() for role in roles})
        self._probe_results = {key: result for key, result in self._probe_results.items() if key in policies}
        self._pending = set()

    def set_probe_result(self, policy: Policy, result: str) -> None:
        """Note how the target's pods answer the policy's probe; empty when they are no longer probed."""
        self._probe_results[policy.key] = result
        self._pending.add(workload_key(policy, policy.spec.target))

    def target(self, policy: Policy) -> KnownWorkload | None:
        """Return the target of a policy; None until it and its pods have been listed."""
        return self._inventory.listed_workload(workload_key(policy, policy.spec.target))

    def failures(self, change: PodChange, now: int) -> Iterator[tuple[str, Failure]]:
        """Yield the containers that have failed, once for each breaker whose target the pod belongs to."""
        for breaker, role in self._roles[change.workload]:
            if role is Role.TARGET:
                window = duration_ms(self._policies[breaker].spec.trip.window)
                for failure in pods.container_failures(change.before, change.pod, now - window):
                    yield breaker, failure

    def changes(self, source: str, now: int) -> Iterator[Event]:
        """Yield an event for each fact that has changed, or that a breaker has to hear again."""
        workloads = self._inventory.take_changed() | (self._pending & self._roles.keys())
        self._pending = set()
        for key in sorted(workloads):
            judged = self._judge(key, now)
            if judged is None:
                continue
            fact, timestamps = judged
            if fact.phase in _PHASES_THAT_EXPIRE:
                self._pending.add(key)
            for breaker, role in self._roles[key]:
                data = self._data(breaker, role, fact)
                repeats = data is None or self._repeats(breaker, data)
                if repeats:
                    self._pending.add(key)
                if data is not None and self._reports.is_due(breaker, data, now, repeats=repeats):
                    yield self._reports.report(source, breaker, data, timestamps, now)

    def _judge(self, key: WorkloadKey, now: int) -> tuple[CapacityChanged, str] | None:
        """Return the fact about a workload in the role of target, and the digest of the timestamps behind the fact."""
        known = self._inventory.listed_workload(key)
        if known is None:
            return None
        view = known.view(now)
        if view is None:
            return (CapacityChanged(Role.TARGET, 0, 0), known.deleted) if known.deleted else None
        ready = sorted(f"{pod.uid}@{pod.ready_changed_at}" for pod in view.pods if pod.is_ready)
        status = view.status
        timestamps = (status.uid, str(status.generation), status.progress_changed_at, str(view.disrupted_at), *ready)
        return CapacityChanged(Role.TARGET, view.ready, status.desired, rollout.phase(view)), digest(*timestamps)

    def _data(self, breaker: str, role: Role, fact: CapacityChanged) -> CapacityChanged | None:
        """Return the fact for a role; None before the first result of a probe: empty would mean an unprobed target."""
        has_probe = self._policies[breaker].spec.recover.probe is not None
        if role is Role.TARGET and has_probe and breaker not in self._probe_results:
            return None
        probe = self._probe_results.get(breaker, "") if role is Role.TARGET else ""
        return CapacityChanged(role, fact.ready, fact.desired, fact.phase, probe)

    def _repeats(self, breaker: str, data: CapacityChanged) -> bool:
        """Say whether a fact is reported regularly: breakers forget it after some minutes."""
        workload = self._policies[breaker].spec.workload(data.role)
        return bool(data.probe) or (workload is not None and data.ready < min(workload.min_ready, data.desired))


def is_planned(inventory: Inventory, uid: str, now: int, *, is_unready: bool) -> bool:
    """Say whether planned work explains an Event about a pod: the pod is terminating, disrupted or deleted.

    With ``is_unready`` the Event says that the pod is not ready. Planned work explains this also for a pod that a
    rollout has just created.
    """
    known = inventory.pods.get(uid)
    if known is None:
        return inventory.pods.was_deleted(uid)
    pod, key = known
    if pod.is_planned_away:
        return True
    workload = inventory.workload(key)
    if not is_unready or pod.was_ready or workload is None:
        return False
    view = workload.view(now)
    return view is not None and rollout.phase(view) in _PHASES_WITH_STARTING_PODS


def _roles_by_workload(policies: Mapping[str, Policy]) -> dict[WorkloadKey, tuple[_RoleOf, ...]]:
    roles: dict[WorkloadKey, tuple[_RoleOf, ...]] = {}
    for breaker, policy in policies.items():
        for role, workload in policy.spec.workloads.items():
            key = workload_key(policy, workload)
            roles[key] = (*roles.get(key, ()), (breaker, role))
    return roles
