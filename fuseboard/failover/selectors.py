"""Label selectors of target and standby: how a Service finds the pods of each, and why it may not be able to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from fuseboard.cluster.names import POD, list_path, object_path
from fuseboard.errors import Problem, Refused
from fuseboard.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.policy.spec import Policy, Selectors


class PodLabels(Struct, frozen=True):
    """How to find the pods of a workload."""

    selector: dict[str, str] | None
    """None: the workload selects its pods by matchExpressions, which a Service does not have."""
    labels: dict[str, str]
    """The labels that the pods are known to carry."""


@dataclass(frozen=True, slots=True)
class WorkloadSelectors:
    """The selectors of target and standby, read from the policy or from the workloads, for the length of a step."""

    cluster: Cluster
    policy: Policy
    selectors: Selectors | None
    """Selectors in the policy; with these, no workload is read."""
    # A workload's selector cannot be changed (apps/v1), so each is read once per step.
    _read: dict[Role, PodLabels] = field(default_factory=dict)

    def pods_of(self, role: Role) -> PodLabels:
        """Return how to find the pods of a role."""
        if role not in self._read:
            self._read[role] = self._read_pods(role)
        return self._read[role]

    def _read_pods(self, role: Role) -> PodLabels:
        if self.selectors is not None:
            selector = self.selectors.of(role)
            return PodLabels(selector, selector)
        workload = self.policy.spec.workload(role)
        if workload is None:
            raise Refused(f"the policy names no {role} any more: name one, so that its pods are known")
        spec = self.cluster.get(object_path(workload.kind, self.policy.namespace, workload.name))["spec"]
        matched = spec["selector"].get("matchLabels") or {}
        template = spec.get("template", {}).get("metadata", {}).get("labels") or {}
        is_plain = matched and not spec["selector"].get("matchExpressions")
        return PodLabels(matched if is_plain else None, {**template, **matched})

    def selects(self, selector: Mapping[str, str], role: Role) -> bool:
        """Say whether a selector selects the pods of a role; a role without a workload has no pods."""
        try:
            return selector.items() <= self.pods_of(role).labels.items()
        except Refused:
            return False

    def selector_of(self, role: Role) -> dict[str, str]:
        """Return the selector of a role.

        Raises:
            Refused: a Service cannot have this selector.

        """
        selector = self.pods_of(role).selector
        if selector is None:
            raise Refused(str(unselectable(self, role)))
        return selector

    def common(self) -> dict[str, str]:
        """Return the labels that the selectors of target and standby share."""
        return dict(self.selector_of(Role.TARGET).items() & self.selector_of(Role.STANDBY).items())

    def ready(self, role: Role) -> int | None:
        """Return how many pods of a role are ready; None when the number is not known."""
        selector = self.pods_of(role).selector
        pods = None if selector is None else self.selected(selector)
        return None if pods is None else sum(map(_is_ready, pods))

    def selected(self, selector: Mapping[str, str]) -> list[Manifest] | None:
        """Return the pods that a selector selects now; None when they are not known."""
        return self.cluster.list(list_path(POD, self.policy.namespace), selector)


def unselectable(workloads: WorkloadSelectors, role: Role) -> Problem | None:
    """Check that a Service can select the pods of a role."""
    if workloads.pods_of(role).selector is not None:
        return None
    workload = workloads.policy.spec.workload(role)
    name = f"{workload.kind}/{workload.name}" if workload is not None else f"the {role}"
    return Problem(f"{name} has matchExpressions, a Service has none: set spec.route.selectors")


def overlap(workloads: WorkloadSelectors) -> Problem | None:
    """Check that neither role's selector selects the pods of the other."""
    for role, other in ((Role.TARGET, Role.STANDBY), (Role.STANDBY, Role.TARGET)):
        selector = workloads.pods_of(role).selector
        if selector is not None and workloads.selects(selector, other):
            return Problem(f"the selector of the {role} selects the {other}'s pods as well: tell them apart by a label")
    return None


def strangers(workloads: WorkloadSelectors) -> Problem | None:
    """Check that the labels common to target and standby select no further pods."""
    common = workloads.common()
    if not common:
        return Problem("target and standby have no label in common, so that no selector has both: give them one")
    ours = [workloads.selector_of(role).items() for role in workloads.policy.spec.workloads]
    for pod in workloads.selected(common) or ():
        labels = pod["metadata"].get("labels", {}).items()
        if not any(selector <= labels for selector in ours):
            name, text = pod["metadata"]["name"], ",".join(f"{key}={value}" for key, value in sorted(common.items()))
            return Problem(f"the labels that target and standby have in common ({text}) select pod {name} as well")
    return None


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
