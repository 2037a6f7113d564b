"""Turn the reports of watches into signals, a batch at a time, without counting an occurrence twice.

Events, pods and workloads each have a watch of their own. In a batch, pods and workloads come before Events, because
they tell whether an Event belongs to planned work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuseboard import logs, metrics
from fuseboard.cluster.changes import Alive, Changed, Denied, Heard, Listed
from fuseboard.cluster.names import EVENT, POD
from fuseboard.errors import InvalidInput
from fuseboard.policy import advice
from fuseboard.signals.targets import TargetIndex
from fuseboard.times import duration_ms
from fuseboard.workloads.batch import SOURCE, Batch, gap_event
from fuseboard.workloads.events import read_event
from fuseboard.workloads.inventory import Inventory
from fuseboard.workloads.pods import Pod
from fuseboard.workloads.readiness import Readiness, is_planned
from fuseboard.workloads.status import WorkloadStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.signals.targets import Owners
    from fuseboard.workloads.batch import WatchedKind
    from fuseboard.workloads.events import ObservedEvent
    from fuseboard.workloads.inventory import PodChange
    from fuseboard.workloads.owners import OwnerResolver

_UNREADY_NOTES: Final = ("Readiness probe", "Startup probe")
"""How the kubelet's note begins when a pod is not ready yet, or no longer ready."""


class Intake:
    """Finds the breakers that a report concerns; used by one thread."""

    def __init__(self, owners: OwnerResolver, clock: Callable[[], float]) -> None:
        """Start with an empty breaker table.

        ``clock`` returns seconds since 1970 and is compared with timestamps of the API server only: the outbox stamps
        the time of each signal.
        """
        self._owners = owners
        self._clock = clock
        self.inventory = Inventory(owners)
        self.readiness = Readiness(self.inventory)
        self.policies: Mapping[str, Policy] = {}
        self._index = TargetIndex(())

    def set_table(self, policies: Mapping[str, Policy]) -> None:
        """Use these policies from now on; log a warning for each new policy that Events alone can never open."""
        if policies is self.policies:
            return
        for key, policy in policies.items():
            warning = advice.out_of_reach(policy)
            if warning and self.policies.get(key) != policy:
                logs.logger().warning("policy.out_of_reach", breaker=key, warning=str(warning))
        self.policies, self._index = policies, TargetIndex(policies.values())
        self.readiness.set_table(policies)

    def take_in(self, reports: Iterable[tuple[WatchedKind, Heard]]) -> Batch:
        """Return the news in some reports."""
        batch = Batch()
        for watched, report in sorted(reports, key=lambda pair: pair[0].kind == EVENT):
            if watched.stop.is_set():
                continue
            if isinstance(report, Denied):
                batch.notes.append(f"{watched.namespace}: {report.reason}")
            elif watched.kind == EVENT:
                self._take_in_events(batch, watched, report)
            else:
                self._take_in_objects(batch, watched, report)
        batch.facts += self.readiness.changes(SOURCE, self._now())
        if batch.facts:
            batch.counts["capacity"] = len(batch.facts)
        return batch

    def _take_in_objects(self, batch: Batch, watched: WatchedKind, report: Listed | Changed | Alive) -> None:
        """Store pods or workloads; the watch reports None for an unreadable object."""
        changes: list[PodChange | None] = []
        match report:
            case Listed() if watched.kind == POD:
                changes += self.inventory.replace_pods(watched.namespace, filter(None, report.objects))
            case Listed():
                self.inventory.replace_workloads(watched.namespace, watched.kind, filter(None, report.objects))
            case Changed(kind="DELETED", object=Pod(uid=uid)):
                self.inventory.delete_pod(uid)
            case Changed(object=Pod() as pod):
                changes.append(self.inventory.update_pod(pod))
            case Changed(kind=change, object=WorkloadStatus() as status):
                self.inventory.update_workload(watched.namespace, status, is_deleted=change == "DELETED")
        for each in filter(None, changes):
            for breaker, failure in self.readiness.failures(each, self._now()):
                batch.counts["died"] += 1
                batch.failures.setdefault(breaker, {})[failure.key] = failure

    def _take_in_events(self, batch: Batch, watched: WatchedKind, report: Listed | Changed | Alive) -> None:
        match report:
            case Listed():
                self._take_in_list(batch, watched, report)
            case Changed():
                self._take_in_change(batch, watched, report)
            case Alive():
                watched.known_until = self._now()
        watched.version = report.version
        batch.moved[watched.namespace] = watched

    def _take_in_list(self, batch: Batch, watched: WatchedKind, listed: Listed) -> None:
        """Count the occurrences above the ledger's counts; without an earlier run, only those of the last window."""
        since, now = watched.known_until, self._now()
        if listed.lost and since is not None:
            batch.gaps.append(gap_event(watched, since, now, listed.lost))
        observed = [event for each in listed.objects if (event := _failure_event(batch, each)) is not None]
        watched.ledger.keep_only({event.uid for event in observed})
        for event in sorted(observed, key=lambda each: (each.written_at, each.uid)):
            keys = watched.ledger.listed(event, since or None)
            self._count(batch, event, keys, window_ends=0 if since else now)
        gap = f", {(now - since) / 1000:.0f} s after all was known" if since else ""
        batch.notes.append(f"{watched.namespace}: listed {len(listed.objects)} Events{gap}")
        watched.known_until = now

    def _take_in_change(self, batch: Batch, watched: WatchedKind, changed: Changed) -> None:
        event = _failure_event(batch, changed.object)
        if event is None:
            return
        watched.known_until = max(watched.known_until or 0, min(event.written_at, self._now()))
        if changed.kind == "DELETED":
            watched.ledger.forget(event.uid)  # Events expire: a deletion is no sign of recovery
        elif changed.kind == "ADDED":
            self._count(batch, event, watched.ledger.added(event))
        elif changed.kind == "MODIFIED":
            self._count(batch, event, watched.ledger.modified(event))

    def _count(self, batch: Batch, event: ObservedEvent, keys: tuple[str, ...], window_ends: int = 0) -> None:
        """Add new occurrences for the breakers of the object, unless they precede the window that ends then."""
        if not keys:
            return
        about = event.about
        breakers = self._index.by_object(about.namespace, about.kind, about.name, self._owners_of(event))
        metrics.events_lag(self._clock() - event.written_at / 1000)
        new = [each for each in breakers if event.written_at > window_ends - self._window(each)]
        planned = bool(new) and self._is_planned(event)
        use = "planned" if planned else "counted" if new else "old" if breakers else "unmatched"
        batch.counts[use] += len(keys)
        for breaker in () if planned else new:
            batch.failures.setdefault(breaker, {}).update((key, self._failure(event, key)) for key in keys)

    def _owners_of(self, event: ObservedEvent) -> Owners:
        known = self.inventory.pods.get(event.about_uid)
        if known is None:
            return self._owners.owners(event.about, event.about_uid)
        _, workload = known
        return ((workload.kind, workload.name),)

    def _is_planned(self, event: ObservedEvent) -> bool:
        """Say whether a rollout, a drain or an eviction explains the Event."""
        is_unready = event.reason == "Unhealthy" and event.note.startswith(_UNREADY_NOTES)
        return event.about.kind == POD and is_planned(
            self.inventory, event.about_uid, self._now(), is_unready=is_unready
        )

    def _failure(self, event: ObservedEvent, key: str) -> Failure:
        """Return an occurrence with the cause that the pod's status gives: Events seldom name the cause."""
        known = self.inventory.pods.get(event.about_uid)
        cause = known[0].cause(event.container) if known is not None else ""
        return event.failure(key, (cause,) if cause else ())

    def _window(self, breaker: str) -> int:
        return duration_ms(self.policies[breaker].spec.trip.window)

    def _now(self) -> int:
        return round(self._clock() * 1000)


def _failure_event(batch: Batch, manifest: Mapping[str, object]) -> ObservedEvent | None:
    """Read an Event; return None for an Event that is unreadable or reports no failure."""
    try:
        event = read_event(manifest)
    except InvalidInput as error:
        batch.counts["unreadable"] += 1
        logs.logger().warning("apiserver.unreadable", error=str(error))
        return None
    return event if event.is_failure else None
