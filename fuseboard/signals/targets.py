"""Find the breakers of an alert, by its labels, or of a Kubernetes object.

The object of an alert follows from the first of these labels that is present. Later labels are not considered, even if
the object has no breaker: a standby's pods are behind the target's Service, too.

1. ``exported_namespace``, ``namespace``: an alert without a namespace has no target.
2. ``exported_deployment``, ``deployment``, ``exported_statefulset``, ``statefulset``.
3. ``exported_workload``, ``workload`` with ``workload_type`` (kubernetes-mixin); without a type, a workload of either
   kind.
4. ``daemonset``, ``job_name``, ``cronjob``: workloads that have no breaker.
5. ``exported_pod``, ``pod``: by ``created_by_kind`` and ``created_by_name`` or ``owner_kind`` and ``owner_name``
   (kube-state-metrics) if present, else by the pod's name.
6. ``exported_service``, ``service``: the route.

An ``exported_*`` label wins. If kube-state-metrics is scraped without honorLabels, the plain labels name
kube-state-metrics itself. For the same reason a plain ``pod`` or ``service`` is ignored beside ``exported_namespace``
or ``exported_pod``, and if its value names kube-state-metrics, since all its alerts may carry this value.

A pod's name is NAME-HASH-RANDOM (Deployment) or NAME-ORDINAL (StatefulSet). HASH has one to ten of Kubernetes' safe
letters, RANDOM has five. The text before RANDOM is cut after 58 letters (apiserver's generateName). The longest
matching name of a target wins. If two targets match equally well, the pod has no target.

Labels are untrusted: they are only compared with the names of the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.cluster.names import DEPLOYMENT, POD, REPLICA_SET, SERVICE, STATEFUL_SET
from fuseboard.policy import matchers
from fuseboard.policy.enums import WorkloadKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fuseboard.policy.spec import Policy

    Owners = Sequence[tuple[str, str]]
    """Kind and name of each owner of an object, in any order."""

WORKLOAD: Final = "Workload"
"""A workload of unknown kind."""

_KINDS: Final = {"": WORKLOAD, "deployment": DEPLOYMENT, "statefulset": STATEFUL_SET}
_OTHER: Final = "other"
"""A kind of workload that has no breaker."""

_EXPORTER: Final = "kube-state-metrics"

_NAME_LENGTH: Final = 63
_KEPT_LENGTH: Final = 58
_HASH_LENGTH: Final = 10
_SAFE: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_DEPLOYMENT_POD: Final = re.compile(rf"(.+)-{_SAFE}{{1,{_HASH_LENGTH}}}-{_SAFE}{{5}}")
_CUT_HASH: Final = re.compile(rf"-{_SAFE}*")
_RANDOM: Final = re.compile(rf"{_SAFE}{{5}}")
_REPLICA_SET: Final = re.compile(rf"(.+)-{_SAFE}{{1,{_HASH_LENGTH}}}")
_STATEFUL_POD: Final = re.compile(r"(.+)-(?:0|[1-9][0-9]{0,9})")


class InvolvedObject(Struct, frozen=True):
    """The object that a signal concerns."""

    namespace: str
    kind: str
    name: str
    owners: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _IndexedBreaker:
    """A breaker, and the test of its ``signals.match``."""

    key: str
    counts: Callable[[Mapping[str, str]], bool] | None


class TargetIndex:
    """The breaker table, indexed by target and route; the time of a look-up is independent of the table's size."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._rows: dict[tuple[str, str, str], tuple[_IndexedBreaker, ...]] = {}
        self._cut: dict[tuple[str, str], list[str]] = {}
        for policy in policies:
            self._add(policy)
        self._namespaces = frozenset(namespace for namespace, _, _ in self._rows)

    def by_object(self, namespace: str, kind: str, name: str, owners: Owners = ()) -> tuple[str, ...]:
        """Return the keys of an object's breakers; known owners win over the object's name."""
        return tuple(row.key for row in self._find(namespace, kind, name, owners))

    def matching(self, about: InvolvedObject, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of an object's breakers, without the breakers whose ``signals.match`` the labels fail."""
        if about.namespace not in self._namespaces:
            return ()
        rows = self._find(about.namespace, about.kind, about.name, about.owners)
        return tuple([row.key for row in rows if row.counts is None or row.counts(labels)])

    def _add(self, policy: Policy) -> None:
        spec, namespace = policy.spec, policy.namespace
        row = _IndexedBreaker(policy.key, matchers.compile_matchers(spec.signals.match) if spec.signals.match else None)
        names = [(spec.target.kind.value, spec.target.name)]
        if spec.route is not None:
            names.append((spec.route.kind.value, spec.route.name))
        for kind, name in names:
            self._rows[namespace, kind, name] = (*self._rows.get((namespace, kind, name), ()), row)
        if spec.target.kind is WorkloadKind.DEPLOYMENT and len(spec.target.name) >= _KEPT_LENGTH:
            self._cut.setdefault((namespace, spec.target.name[:_KEPT_LENGTH]), []).append(spec.target.name)

    def _find(self, namespace: str, kind: str, name: str, owners: Owners = ()) -> tuple[_IndexedBreaker, ...]:
        if owners:
            named = [owner for owner in owners if owner[0] in (DEPLOYMENT, STATEFUL_SET)] or owners
            return next(filter(None, (self._find(namespace, *owner) for owner in named)), ())
        if kind == POD:
            return self._of_pod(namespace, name)
        if kind == REPLICA_SET:
            match = _REPLICA_SET.fullmatch(name)
            return self._rows.get((namespace, DEPLOYMENT, match[1]), ()) if match else ()
        if kind == WORKLOAD:
            both = (self._rows.get((namespace, each, name), ()) for each in (DEPLOYMENT, STATEFUL_SET))
            return tuple(row for rows in both for row in rows)
        return self._rows.get((namespace, kind, name), ())

    def _of_pod(self, namespace: str, pod: str) -> tuple[_IndexedBreaker, ...]:
        if len(pod) > _NAME_LENGTH:
            return ()
        fitting = [fit for fit in _uncut(namespace, pod) if fit in self._rows]
        if len(pod) == _NAME_LENGTH:
            fitting += [fit for fit in self._cut_names(namespace, pod) if fit in self._rows]
        if not fitting:
            return ()
        longest = max(len(name) for _, _, name in fitting)
        best = {fit for fit in fitting if len(fit[2]) == longest}
        return self._rows[best.pop()] if len(best) == 1 else ()

    def _cut_names(self, namespace: str, pod: str) -> Iterator[tuple[str, str, str]]:
        """Yield the possible names of a Deployment for a pod name that was cut."""
        kept, random = pod[:_KEPT_LENGTH], pod[_KEPT_LENGTH:]
        if not _RANDOM.fullmatch(random):
            return
        for length in range(_KEPT_LENGTH - 1 - _HASH_LENGTH, _KEPT_LENGTH):
            if _CUT_HASH.fullmatch(kept, length):
                yield namespace, DEPLOYMENT, kept[:length]
        for name in self._cut.get((namespace, kept), ()):
            yield namespace, DEPLOYMENT, name


def involved_object(labels: Mapping[str, str]) -> InvolvedObject | None:
    """Return the object that an alert with these labels concerns; None for labels that name no object."""
    get = labels.get
    namespace = get("exported_namespace") or get("namespace")
    if not namespace:
        return None
    if workload := _workload(labels):
        return InvolvedObject(namespace, *workload)
    if name := get("exported_pod") or _plain(labels, "pod"):
        return InvolvedObject(namespace, POD, name, _owners(labels))
    if name := get("exported_service") or _plain(labels, "service"):
        return InvolvedObject(namespace, SERVICE, name)
    return None


def _workload(labels: Mapping[str, str]) -> tuple[str, str] | None:
    get = labels.get
    if name := get("exported_deployment") or get("deployment"):
        return DEPLOYMENT, name
    if name := get("exported_statefulset") or get("statefulset"):
        return STATEFUL_SET, name
    if name := get("exported_workload") or get("workload"):
        return _KINDS.get(get("workload_type", "").lower(), _OTHER), name
    if name := get("daemonset") or get("job_name") or get("cronjob"):
        return _OTHER, name
    return None


def _plain(labels: Mapping[str, str], label: str) -> str:
    """Return a label that the scrape may have added, or empty text if the label names the exporter."""
    name = labels.get(label, "")
    if _EXPORTER in name or labels.get("exported_namespace") or labels.get("exported_pod"):
        return ""
    return name


def _owners(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    labelled = (("created_by_kind", "created_by_name"), ("owner_kind", "owner_name"))
    pairs = [(labels.get(kind, ""), labels.get(name, "")) for kind, name in labelled]
    return tuple([(kind, name) for kind, name in pairs if kind and name])


def _uncut(namespace: str, pod: str) -> Iterator[tuple[str, str, str]]:
    """Yield the possible names of a workload for a pod name that was not cut."""
    if match := _DEPLOYMENT_POD.fullmatch(pod):
        yield namespace, DEPLOYMENT, match[1]
    if match := _STATEFUL_POD.fullmatch(pod):
        yield namespace, STATEFUL_SET, match[1]
