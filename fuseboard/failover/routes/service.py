"""The driver for a Service: its selector decides who serves.

A Service expresses the target, the standby, or both: then its selector is what the two selectors have in common, and
the share follows the ready pods. One annotation per breaker holds the fence, what was set and what was there before;
it changes together with the selector in one patch, and stays when the traffic is back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.placement import Fence, Shares
from fuseboard.cluster import Rehearsing
from fuseboard.cluster.names import SERVICE, object_path
from fuseboard.errors import Problem, Refused
from fuseboard.failover.plan import Observed, gains_target
from fuseboard.failover.routes.driver import Permission, Seen
from fuseboard.failover.selectors import WorkloadSelectors, overlap, strangers, unselectable
from fuseboard.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.failover.plan import Move
    from fuseboard.policy.spec import Policy, Route

ANNOTATION_PREFIX: Final = "breaker.fuseboard.dev/"
HOME: Final = Shares()
AWAY: Final = Shares(target=0, standby=100)
BOTH: Final = Shares(target=50, standby=50)


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
    workloads: WorkloadSelectors
    assumed: Mapping[str, str]

    @classmethod
    def of(cls, cluster: Cluster, policy: Policy, route: Route) -> ServiceRoute:
        """See ``RouteDriver.of``."""
        workloads = WorkloadSelectors(cluster, policy, route.selectors)
        assumed = _assume(cluster, policy, route) if isinstance(cluster, Rehearsing) else {}
        return cls(cluster, policy, route, workloads, assumed)

    def observe(self, asked: Shares) -> Seen:
        """See ``RouteDriver.observe``."""
        service = self.cluster.get(self._path)
        mark = self._mark(service)
        shares, note = self._shares(_selector(service), mark)
        observed = Observed(mark.fence if mark else Fence(), shares, note)
        if shares is not None and shares != asked:
            if gains_target(shares, asked):
                observed = replace(observed, ready_target=self.workloads.ready(Role.TARGET))
            else:
                observed = replace(observed, ready_standby=self.workloads.ready(Role.STANDBY))
        return Seen(observed, service)

    def expresses(self, seen: Seen, shares: Shares) -> Problem | None:
        """See ``RouteDriver.expresses``."""
        if shares == HOME:
            return None if self._prior(seen) is not None else unselectable(self.workloads, Role.TARGET)
        if shares == AWAY:
            return unselectable(self.workloads, Role.STANDBY) or overlap(self.workloads)
        if shares == BOTH:
            return (
                unselectable(self.workloads, Role.TARGET)
                or unselectable(self.workloads, Role.STANDBY)
                or overlap(self.workloads)
                or strangers(self.workloads)
            )
        return Problem(f"a Service has no weights: it cannot give {shares}")

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
        self.cluster.patch(self._path, patch)

    def verify(self, seen: Seen, move: Move) -> Problem | None:
        """See ``RouteDriver.verify``."""
        service = self.cluster.get(self._path)
        mark = self._mark(service)
        if mark is None or mark.fence != move.fence:
            return Problem("somebody else has changed the Service's annotation since")
        if _selector(service) != mark.ours:
            return Problem("somebody else has changed the Service's selector since")
        if move.shares == HOME and seen.observed.shares == HOME:
            return None
        role = Role.TARGET if gains_target(seen.observed.shares, move.shares) else Role.STANDBY
        return Problem(f"the {role} has no ready pod") if self.workloads.ready(role) == 0 else None

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        """See ``RouteDriver.revert``."""
        service = self.cluster.get(self._path)
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

    @property
    def _path(self) -> str:
        return object_path(SERVICE, self.policy.namespace, self.route.name)

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
        target, standby = (self.workloads.selects(selector, role) for role in Role)
        if target and standby:
            return None, f"{name} selects the standby's pods as well: give it a selector that only the target's have"
        if target or standby:
            return HOME if target else AWAY, ""
        for role in self.policy.spec.workloads:  # a workload that is gone explains it better
            self.workloads.pods_of(role)
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
            return self._prior(seen) or self.workloads.selector_of(Role.TARGET)
        return self.workloads.common() if shares == BOTH else self.workloads.selector_of(Role.STANDBY)


def _assume(rehearsal: Rehearsing, policy: Policy, route: Route) -> dict[str, str]:
    """Let a rehearsal assume the objects that the driver will read; return the assumed selectors in words, by role.

    A workload is assumed to select its pods by the label ``app`` with its own name; the Service, to serve the target.
    """
    namespace, workloads = policy.namespace, policy.spec.workloads
    labels = {role: {"app": workload.name} for role, workload in workloads.items()}
    selector = labels[Role.TARGET] if route.selectors is None else route.selectors.target
    service = {"metadata": {"name": route.name}, "spec": {"selector": selector}}
    rehearsal.assume(object_path(SERVICE, namespace, route.name), service)
    if route.selectors is not None:
        return {}
    for role, workload in workloads.items():
        spec = {"selector": {"matchLabels": labels[role]}}
        rehearsal.assume(object_path(workload.kind, namespace, workload.name), {"metadata": {}, "spec": spec})
    return {role.value: f"app={workload.name}" for role, workload in workloads.items()}


def _selector(service: Manifest) -> dict[str, str]:
    return dict(service["spec"].get("selector") or {})
