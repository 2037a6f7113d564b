"""Take in what watches have heard: a batch at a time, by breaker, without counting anything twice.

Events, pods and workloads are heard each by a watch of its own. What pods say comes first in a batch: whether an Event
is about planned work is told by them.
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
from fuseboard.workloads import events as kubernetes_events
from fuseboard.workloads.batch import SOURCE, Batch, WatchedKind, _gap
from fuseboard.workloads.pods import Pod
from fuseboard.workloads.readiness import Readiness
from fuseboard.workloads.status import WorkloadStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.workloads.events import ObservedEvent
    from fuseboard.workloads.owners import OwnerResolver


_SLOW: Final = ("Readiness probe", "Startup probe")
"""How a kubelet's note begins when a pod is not ready yet, or no longer."""


class Intake:
    """Knows the breakers that Events may be about; used by one thread."""

    def __init__(self, owners: OwnerResolver, clock: Callable[[], float]) -> None:
        """``clock`` is held against the API server's stamps only: when a signal was taken in, the outbox says."""
        self._owners = owners
        self._clock = clock
        self.capacity = Readiness(owners)
        self.policies: Mapping[str, Policy] = {}
        self._table = TargetIndex(())

    def know(self, policies: Mapping[str, Policy]) -> None:
        """Take these for the breaker table from now on; warn of those that Events alone can never open."""
        if policies is self.policies:
            return
        for key, policy in policies.items():
            warning = advice.out_of_reach(policy)
            if warning and self.policies.get(key) != policy:
                logs.logger().warning("policy.out_of_reach", breaker=key, warning=warning)
        self.policies, self._table = policies, TargetIndex(policies.values())
        self.capacity.know(policies)

    def take_in(self, heard: Iterable[tuple[WatchedKind, Heard]]) -> Batch:
        """Return what is new in what was heard."""
        batch = Batch()
        for followed, each in sorted(heard, key=lambda pair: pair[0].kind == EVENT):
            if followed.stop.is_set():
                continue
            if isinstance(each, Denied):
                batch.notes.append(f"{followed.namespace}: {each.reason}")
            elif followed.kind == EVENT:
                self._events(batch, followed, each)
            else:
                self._objects(batch, followed, each)
        batch.facts += self.capacity.facts(SOURCE, self._now())
        if batch.facts:
            batch.counts["capacity"] = len(batch.facts)
        return batch

    def _events(self, batch: Batch, followed: WatchedKind, heard: Listed | Changed | Alive) -> None:
        match heard:
            case Listed():
                self._listed(batch, followed, heard)
            case Changed():
                self._changed(batch, followed, heard)
            case Alive():
                followed.known_until = self._now()
        followed.version = heard.version
        batch.moved[followed.namespace] = followed

    def _objects(self, batch: Batch, followed: WatchedKind, heard: Listed | Changed | Alive) -> None:
        """Take in pods or workloads; what could not be read is None."""
        namespace, kind, now = followed.namespace, followed.kind, self._now()
        died: Iterable[tuple[str, Failure]] = ()
        match heard:
            case Listed() if kind == POD:
                died = self.capacity.all_pods(namespace, filter(None, heard.objects), now)
            case Listed():
                self.capacity.statuses(namespace, kind, filter(None, heard.objects))
            case Changed(kind="DELETED", object=Pod(uid=uid)):
                self.capacity.forget(uid)
            case Changed(object=Pod() as pod):
                died = self.capacity.pod(pod, now)
            case Changed(kind=change, object=WorkloadStatus() as status):
                self.capacity.status(namespace, status, is_gone=change == "DELETED")
        for breaker, failure in died:
            batch.counts["died"] += 1
            batch.told.setdefault(breaker, {})[failure.key] = failure

    def _listed(self, batch: Batch, followed: WatchedKind, listed: Listed) -> None:
        """Take in all there is: what is above the counts that were known, or without those, what is of just now."""
        since, now = followed.known_until, self._now()
        if listed.lost and since is not None:
            batch.gaps.append(_gap(followed, since, now, listed.lost))
        reports = [report for each in listed.objects if (report := self._read(batch, each)) is not None]
        followed.ledger.keep_only({report.uid for report in reports})
        for report in sorted(reports, key=lambda each: (each.written_at, each.uid)):
            keys = followed.ledger.listed(report, since or None)
            self._tell(batch, report, keys, window_ends=0 if since else now)
        gap = f", {(now - since) / 1000:.0f} s after all was known" if since else ""
        batch.notes.append(f"{followed.namespace}: listed {len(listed.objects)} Events{gap}")
        followed.known_until = now

    def _changed(self, batch: Batch, followed: WatchedKind, changed: Changed) -> None:
        report = self._read(batch, changed.object)
        if report is None:
            return
        followed.known_until = max(followed.known_until or 0, min(report.written_at, self._now()))
        if changed.kind == "DELETED":
            followed.ledger.forget(report.uid)  # it is over its time: nobody says that things are well
        elif changed.kind == "ADDED":
            self._tell(batch, report, followed.ledger.added(report))
        elif changed.kind == "MODIFIED":
            self._tell(batch, report, followed.ledger.modified(report))

    def _read(self, batch: Batch, found: Mapping[str, object]) -> ObservedEvent | None:
        """Return what an Event says; None when it speaks against nobody."""
        try:
            report = kubernetes_events.read_event(found)
        except InvalidInput as error:
            batch.counts["unreadable"] += 1
            logs.logger().warning("apiserver.unreadable", error=str(error))
            return None
        return report if report.is_failure else None

    def _tell(self, batch: Batch, report: ObservedEvent, keys: tuple[str, ...], window_ends: int = 0) -> None:
        """Tell the breakers of an object what is new, unless it is from before the window that ends then."""
        if not keys:
            return
        about = report.about
        owners = self.capacity.owners(report.about_uid) or self._owners.owners(about, report.about_uid)
        breakers = self._table.by_object(about.namespace, about.kind, about.name, owners)
        metrics.events_lag(self._clock() - report.written_at / 1000)
        new = [each for each in breakers if report.written_at > window_ends - self._window(each)]
        is_planned = bool(new) and self._is_planned(report)
        name = "planned" if is_planned else "counted" if new else "old" if breakers else "unmatched"
        batch.counts[name] += len(keys)
        for breaker in () if is_planned else new:
            batch.told.setdefault(breaker, {}).update((key, self._failure(report, key)) for key in keys)

    def _is_planned(self, report: ObservedEvent) -> bool:
        """Say whether this is what a rollout, a drain or an eviction brings."""
        slow = report.reason == "Unhealthy" and report.note.startswith(_SLOW)
        return report.about.kind == POD and self.capacity.is_planned(report.about_uid, self._now(), slow=slow)

    def _failure(self, report: ObservedEvent, key: str) -> Failure:
        """Return an occurrence, with what the pod says that led to it: an Event seldom does."""
        pod = self.capacity.find(report.about_uid)
        cause = pod.cause(report.container) if pod is not None else ""
        return report.failure(key, (cause,) if cause else ())

    def _window(self, breaker: str) -> int:
        return duration_ms(self.policies[breaker].spec.trip.window)

    def _now(self) -> int:
        return round(self._clock() * 1000)
