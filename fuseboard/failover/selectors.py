"""Target and standby: by what their pods are selected, what they carry, and how many are ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from fuseboard.cluster.names import POD, list_path, object_path
from fuseboard.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.cluster import Cluster
    from fuseboard.policy.spec import Policy, Selectors


class Pods(Struct, frozen=True):
    """The pods of one workload."""

    selector: dict[str, str] | None
    """None: the workload selects them by matchExpressions, which a Service does not have."""
    labels: dict[str, str]
    """What they carry, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Workloads:
    """Target and standby of one policy, for the length of one step."""

    cluster: Cluster
    policy: Policy
    selectors: Selectors | None
    """Selectors of the policy's own, where it has some."""
    # A workload's selector cannot be changed (apps/v1), so it is read once per step.
    _read: dict[str, Pods] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that the policy names."""
        return ("target", "standby") if self.policy.spec.standby is not None else ("target",)

    def pods_of(self, role: str) -> Pods:
        """Return the pods of a role; read once."""
        if role not in self._read:
            self._read[role] = self._read_pods(role)
        return self._read[role]

    def _read_pods(self, role: str) -> Pods:
        if self.selectors is not None:
            selector = getattr(self.selectors, role)
            return Pods(selector, selector)
        workload = getattr(self.policy.spec, role)
        if workload is None:
            raise Refused(f"the policy names no {role} any more: name one, so that its pods are known")
        path = object_path(workload.kind, self.policy.namespace, workload.name)
        labels = self.assumed(role)
        spec = self.cluster.get(path, {"metadata": {}, "spec": {"selector": {"matchLabels": labels}}})["spec"]
        matched = spec["selector"].get("matchLabels") or {}
        template = spec.get("template", {}).get("metadata", {}).get("labels") or {}
        plain = matched and not spec["selector"].get("matchExpressions")
        return Pods(matched if plain else None, {**template, **matched})

    def assumed(self, role: str) -> dict[str, str]:
        """Return the labels that a rehearsal takes for granted."""
        return {"app": getattr(self.policy.spec, role).name}

    def selects(self, selector: Mapping[str, str], role: str) -> bool:
        """Say whether a selector selects the pods of a role."""
        try:
            return selector.items() <= self.pods_of(role).labels.items()
        except Refused:
            return False  # one that is gone has no pods

    def selector_of(self, role: str) -> dict[str, str]:
        """Return the selector of a role."""
        selector = self.pods_of(role).selector
        if selector is None:
            raise Refused(self.unselectable(role))
        return selector

    def common(self) -> dict[str, str]:
        """Return what the selectors of target and standby have in common."""
        return dict(self.selector_of("target").items() & self.selector_of("standby").items())

    def ready(self, role: str) -> int | None:
        """Return how many pods of a role are ready; None when it is not known."""
        selector = self.pods_of(role).selector
        pods = None if selector is None else self.cluster.list(self._pods_path, selector)
        return None if pods is None else sum(map(_is_ready, pods))

    def unselectable(self, role: str) -> str:
        """Say why a Service cannot select the pods of a role."""
        if self.pods_of(role).selector is not None:
            return ""
        workload = getattr(self.policy.spec, role)
        return f"{workload.kind}/{workload.name} has matchExpressions, a Service has none: set spec.route.selectors"

    def overlap(self) -> str:
        """Say why the pods of the two roles cannot be told apart."""
        for role, other in (("target", "standby"), ("standby", "target")):
            selector = self.pods_of(role).selector
            if selector is not None and self.selects(selector, other):
                return f"the selector of the {role} selects the {other}'s pods as well: tell them apart by a label"
        return ""

    def strangers(self) -> str:
        """Say why what the two have in common is not theirs alone."""
        common = self.common()
        if not common:
            return "target and standby have no label in common, so that no selector has both: give them one"
        ours = [self.selector_of(role).items() for role in self.roles]
        for pod in self.cluster.list(self._pods_path, common) or ():
            labels = pod["metadata"].get("labels", {}).items()
            if not any(selector <= labels for selector in ours):
                text = ",".join(f"{key}={value}" for key, value in sorted(common.items()))
                return f"what target and standby have in common ({text}) selects pod {pod['metadata']['name']} as well"
        return ""

    @property
    def _pods_path(self) -> str:
        return list_path(POD, self.policy.namespace)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
