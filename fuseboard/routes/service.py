"""The driver for a Service: its selector decides who serves.

A Service expresses the target, the standby, or both: then its selector is what the two selectors have in common, and
the share follows the ready pods. One annotation per breaker holds the fence, what was set and what was there before;
it changes together with the selector in one patch, and stays when the traffic is back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fuseboard.errors import Refused
from fuseboard.placement import Fence, Observed, Shares
from fuseboard.routes import Permission, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.placement import Move
    from fuseboard.policy import Policy, Route

ANNOTATION_PREFIX: Final = "breaker.fuseboard.dev/"
HOME: Final = Shares()
AWAY: Final = Shares(target=0, standby=100)
BOTH: Final = Shares(target=50, standby=50)

_PLURALS: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


class Mark(Struct, frozen=True, omit_defaults=True):
    """The annotation: the fence, what we set, and what was there before while traffic is moved."""

    epoch: int
    step: int
    shares: Shares
    ours: dict[str, str]
    prior: dict[str, str] | None = None

    @property
    def fence(self) -> Fence:
        """The fence on the object."""
        return Fence(self.epoch, self.step)

    def under(self, fence: Fence) -> Mark:
        """Return the same mark with another fence."""
        return replace(self, epoch=fence.epoch, step=fence.step)


class Pods(Struct, frozen=True):
    """The pods of one workload."""

    selector: dict[str, str] | None
    """None: the workload selects them by matchExpressions, which a Service does not have."""
    labels: dict[str, str]
    """What they carry, as far as it is known."""


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """Moves the selector of a Service."""

    PERMISSIONS: ClassVar[tuple[Permission, ...]] = (
        Permission("", "services", ("get", "patch")),
        Permission("", "pods", ("list",)),
        Permission("apps", "deployments", ("get",)),
        Permission("apps", "statefulsets", ("get",)),
    )
    EXAMPLE: ClassVar[str] = """\
target:  {kind: Deployment, name: login}
standby: {kind: Deployment, name: login-standby}
route:
  kind: Service
  name: login
  selectors:                                    # without them, those of the two workloads
    target:  {app: login, track: primary}
    standby: {app: login, track: standby}
"""

    cluster: Cluster
    policy: Policy
    route: Route
    # A workload's selector cannot be changed (apps/v1), so it is read once per step.
    _pods: dict[str, Pods] = field(default_factory=dict)

    @property
    def assumed(self) -> dict[str, str]:
        """See ``RouteDriver.assumed``."""
        if not self.cluster.rehearses or self.route.selectors is not None:
            return {}
        return {role: ",".join(f"{key}={value}" for key, value in self._assumed(role).items()) for role in self._roles}

    def observe(self, asked: Shares) -> Seen:
        """See ``RouteDriver.observe``."""
        service = self.cluster.get(self._path("", "services", self.route.name), self._assumed_service())
        mark = self._mark(service)
        shares, note = self._shares(_selector(service), mark)
        observed = Observed(mark.fence if mark else Fence(), shares, note)
        if shares is not None and shares != asked:
            ready = self._ready("standby" if asked.standby else "target")
            observed = replace(observed, **{"ready_standby" if asked.standby else "ready_target": ready})
        return Seen(observed, service)

    def expresses(self, seen: Seen, shares: Shares) -> str:
        """See ``RouteDriver.expresses``."""
        if shares == HOME:
            return "" if self._prior(seen) is not None else self._unselectable("target")
        if shares == AWAY:
            return self._unselectable("standby") or self._overlap()
        if shares == BOTH:
            return self._unselectable("target") or self._unselectable("standby") or self._overlap() or self._strangers()
        return f"a Service has no weights: it cannot give {shares}"

    def patch(self, seen: Seen, move: Move) -> Manifest:
        """See ``RouteDriver.patch``."""
        was = _selector(seen.manifest)
        moved = seen.observed.shares != move.shares
        prior = was if seen.observed.shares == HOME else self._prior(seen)
        ours = self._destination(seen, move.shares) if moved else was
        mark = Mark(0, 0, move.shares, ours, None if move.shares == HOME else prior)
        return self._patch(seen.manifest, ours, mark.under(move.fence))

    def seal(self, seen: Seen, fence: Fence) -> Manifest:
        """See ``RouteDriver.seal``."""
        mark = self._mark(seen.manifest) or self._mark_of(seen)
        return self._patch(seen.manifest, _selector(seen.manifest), mark.under(fence))

    def apply(self, patch: Manifest) -> None:
        """See ``RouteDriver.apply``."""
        self.cluster.patch(self._path("", "services", self.route.name), patch)

    def verify(self, seen: Seen, move: Move) -> str:
        """See ``RouteDriver.verify``."""
        service = self.cluster.get(self._path("", "services", self.route.name), self._assumed_service())
        mark = self._mark(service)
        if mark is None or mark.fence != move.fence:
            return "somebody else has changed the Service's annotation since"
        if _selector(service) != mark.ours:
            return "somebody else has changed the Service's selector since"
        if move.shares == HOME and seen.observed.shares == HOME:
            return ""
        role = "standby" if move.shares.standby else "target"
        return f"the {role} has no ready pod" if self._ready(role) == 0 else ""

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        """See ``RouteDriver.revert``."""
        service = self.cluster.get(self._path("", "services", self.route.name), self._assumed_service())
        mark = self._mark(service)
        if mark is None or mark.fence >= fence or _selector(service) != mark.ours:
            return None
        before = self._mark(seen.manifest)
        if before is None or before.ours != _selector(seen.manifest):
            before = self._mark_of(seen)
        return self._patch(service, _selector(seen.manifest), before.under(fence))

    # -- the Service -------------------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return f"{ANNOTATION_PREFIX}{self.policy.metadata.name}"

    def _path(self, group: str, plural: str, name: str) -> str:
        base = f"/apis/{group}/v1" if group else "/api/v1"
        return f"{base}/namespaces/{self.policy.namespace}/{plural}/{name}".rstrip("/")

    def _mark(self, service: Manifest) -> Mark | None:
        text = (service["metadata"].get("annotations") or {}).get(self._key)
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=Mark)
        except msgspec.DecodeError as error:
            raise Refused(
                f"Service {self.route.name}: the annotation {self._key} cannot be read ({error}): "
                "give the Service the selector that it should have, then remove the annotation"
            ) from error

    def _mark_of(self, seen: Seen) -> Mark:
        """Return a mark for a Service that has none that holds."""
        shares = seen.observed.shares
        # Nothing is ours where somebody else's selector is in place.
        return Mark(0, 0, shares or HOME, {} if shares is None else _selector(seen.manifest))

    def _prior(self, seen: Seen) -> dict[str, str] | None:
        mark = self._mark(seen.manifest)
        return mark.prior if mark else None

    def _shares(self, selector: dict[str, str], mark: Mark | None) -> tuple[Shares | None, str]:
        """Return who serves by this selector; where it is neither target nor standby, say so."""
        if mark is not None and selector == mark.ours:
            return mark.shares, ""
        if mark is not None and selector == mark.prior:
            return HOME, ""
        name = f"Service {self.route.name}"
        if not selector:
            return None, f"{name} has no selector: Fuseboard moves traffic by the selector, so give it the target's"
        target, standby = self._selects(selector, "target"), self._selects(selector, "standby")
        if target and standby:
            return None, f"{name} selects the standby's pods as well: give it a selector that only the target's have"
        if target or standby:
            return HOME if target else AWAY, ""
        for role in self._roles:  # a workload that is gone explains it better
            self._pods_of(role)
        text = msgspec.json.encode(selector).decode()
        return None, f"{name} selects neither target nor standby but {text}: restore its selector, or set selectors"

    def _patch(self, service: Manifest, selector: dict[str, str], mark: Mark) -> Manifest:
        """Return fence and selector as one patch under the version that was read."""
        annotations = {self._key: msgspec.json.encode(mark).decode()}
        version = service["metadata"]["resourceVersion"]
        patch: Manifest = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        was = _selector(service)
        if selector != was:
            patch["spec"] = {"selector": {**dict.fromkeys(was.keys() - selector.keys()), **selector}}
        return patch

    def _destination(self, seen: Seen, shares: Shares) -> dict[str, str]:
        if shares == HOME:
            return self._prior(seen) or self._selector_of("target")
        return self._common() if shares == BOTH else self._selector_of("standby")

    # -- the workloads -----------------------------------------------------------------------------------------------

    @property
    def _roles(self) -> tuple[str, ...]:
        return ("target", "standby") if self.policy.spec.standby is not None else ("target",)

    def _pods_of(self, role: str) -> Pods:
        if role not in self._pods:
            self._pods[role] = self._read_pods(role)
        return self._pods[role]

    def _read_pods(self, role: str) -> Pods:
        if self.route.selectors is not None:
            selector = getattr(self.route.selectors, role)
            return Pods(selector, selector)
        workload = getattr(self.policy.spec, role)
        if workload is None:
            raise Refused(f"the policy names no {role} any more: name one, so that its pods are known")
        path = self._path("apps", _PLURALS[workload.kind], workload.name)
        labels = self._assumed(role)
        spec = self.cluster.get(path, {"metadata": {}, "spec": {"selector": {"matchLabels": labels}}})["spec"]
        matched = spec["selector"].get("matchLabels") or {}
        template = spec.get("template", {}).get("metadata", {}).get("labels") or {}
        plain = matched and not spec["selector"].get("matchExpressions")
        return Pods(matched if plain else None, {**template, **matched})

    def _assumed(self, role: str) -> dict[str, str]:
        return {"app": getattr(self.policy.spec, role).name}

    def _assumed_service(self) -> Manifest:
        selectors = self.route.selectors
        selector = selectors.target if selectors is not None else self._assumed("target")
        return {"metadata": {"name": self.route.name}, "spec": {"selector": selector}}

    def _selects(self, selector: Mapping[str, str], role: str) -> bool:
        try:
            return selector.items() <= self._pods_of(role).labels.items()
        except Refused:
            return False  # one that is gone has no pods

    def _selector_of(self, role: str) -> dict[str, str]:
        selector = self._pods_of(role).selector
        if selector is None:
            raise Refused(self._unselectable(role))
        return selector

    def _common(self) -> dict[str, str]:
        return dict(self._selector_of("target").items() & self._selector_of("standby").items())

    def _ready(self, role: str) -> int | None:
        selector = self._pods_of(role).selector
        pods = None if selector is None else self.cluster.list(self._path("", "pods", ""), selector)
        return None if pods is None else sum(map(_is_ready, pods))

    def _unselectable(self, role: str) -> str:
        if self._pods_of(role).selector is not None:
            return ""
        workload = getattr(self.policy.spec, role)
        return f"{workload.kind}/{workload.name} has matchExpressions, a Service has none: set spec.route.selectors"

    def _overlap(self) -> str:
        for role, other in (("target", "standby"), ("standby", "target")):
            selector = self._pods_of(role).selector
            if selector is not None and self._selects(selector, other):
                return f"the selector of the {role} selects the {other}'s pods as well: tell them apart by a label"
        return ""

    def _strangers(self) -> str:
        common = self._common()
        if not common:
            return "target and standby have no label in common, so that no selector has both: give them one"
        ours = [self._selector_of(role).items() for role in self._roles]
        for pod in self.cluster.list(self._path("", "pods", ""), common) or ():
            labels = pod["metadata"].get("labels", {}).items()
            if not any(selector <= labels for selector in ours):
                text = ",".join(f"{key}={value}" for key, value in sorted(common.items()))
                return f"what target and standby have in common ({text}) selects pod {pod['metadata']['name']} as well"
        return ""


def _selector(service: Manifest) -> dict[str, str]:
    return dict(service["spec"].get("selector") or {})


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
