"""The driver for a Service, which sends traffic to the pods that its selector selects.

A Service expresses three placements: target, standby, or both. For both, its selector has the labels that the selectors
of target and standby have in common, and the shares follow the numbers of ready pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec.structs import replace

from fuseboard.breaker.placement import Fence, Shares
from fuseboard.cluster import Rehearsing
from fuseboard.cluster.names import SERVICE, object_path
from fuseboard.errors import Problem
from fuseboard.failover.plan import Observed, gains_target
from fuseboard.failover.routes.driver import Permission, Seen
from fuseboard.failover.routes.service_mark import Mark, MarkedService
from fuseboard.failover.selectors import WorkloadSelectors, overlap, strangers, unselectable
from fuseboard.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.failover.plan import Move
    from fuseboard.policy.spec import Policy, Route

HOME: Final = Shares()
AWAY: Final = Shares(target=0, standby=100)
BOTH: Final = Shares(target=50, standby=50)


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
        service = self._read()
        mark = service.mark
        shares, note = self._shares(service)
        observed = Observed(mark.fence if mark else Fence(), shares, note)
        if shares is not None and shares != asked:
            if gains_target(shares, asked):
                observed = replace(observed, ready_target=self.workloads.ready(Role.TARGET))
            else:
                observed = replace(observed, ready_standby=self.workloads.ready(Role.STANDBY))
        return Seen(observed, service.manifest)

    def expresses(self, seen: Seen, shares: Shares) -> Problem | None:
        """See ``RouteDriver.expresses``."""
        if shares == HOME:
            knows_prior = self._marked(seen.manifest).prior is not None
            return None if knows_prior else unselectable(self.workloads, Role.TARGET)
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
        service = self._marked(seen.manifest)
        moves = seen.observed.shares != move.shares
        prior = service.selector if seen.observed.shares == HOME else service.prior
        ours = self._destination(service, move.shares) if moves else service.selector
        mark = Mark(0, 0, move.shares, ours, None if move.shares == HOME else prior)
        return service.patch(ours, mark.under(move.fence))

    def seal(self, seen: Seen, fence: Fence) -> Manifest:
        """See ``RouteDriver.seal``."""
        service = self._marked(seen.manifest)
        mark = service.mark or service.new_mark(seen.observed.shares)
        return service.patch(service.selector, mark.under(fence))

    def apply(self, patch: Manifest) -> None:
        """See ``RouteDriver.apply``."""
        self.cluster.patch(self._path, patch)

    def verify(self, seen: Seen, move: Move) -> Problem | None:
        """See ``RouteDriver.verify``."""
        service = self._read()
        mark = service.mark
        if mark is None or mark.fence != move.fence:
            return Problem("another client has changed the Service's annotation since")
        if not service.has_own_selector():
            return Problem("another client has changed the Service's selector since")
        if move.shares == HOME and seen.observed.shares == HOME:
            return None
        role = Role.TARGET if gains_target(seen.observed.shares, move.shares) else Role.STANDBY
        return Problem(f"the {role} has no ready pod") if self.workloads.ready(role) == 0 else None

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        """See ``RouteDriver.revert``."""
        service, past = self._read(), self._marked(seen.manifest)
        mark = service.mark
        if mark is None or mark.fence >= fence or not service.has_own_selector():
            return None
        before = past.mark
        if before is None or not past.has_own_selector():
            before = past.new_mark(seen.observed.shares)
        return service.patch(past.selector, before.under(fence))

    @property
    def _path(self) -> str:
        return object_path(SERVICE, self.policy.namespace, self.route.name)

    def _read(self) -> MarkedService:
        return self._marked(self.cluster.get(self._path))

    def _marked(self, manifest: Manifest) -> MarkedService:
        return MarkedService(manifest, self.policy.metadata.name)

    def _shares(self, service: MarkedService) -> tuple[Shares | None, str]:
        """Return the shares that follow from the selector; if the selector has neither role's pods, None and a note."""
        mark, selector = service.mark, service.selector
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
        for role in self.policy.spec.workloads:  # if a workload is gone, its error explains more than the note below
            self.workloads.pods_of(role)
        text = msgspec.json.encode(selector).decode()
        return None, f"{name} selects neither target nor standby but {text}: restore its selector, or set selectors"

    def _destination(self, service: MarkedService, shares: Shares) -> dict[str, str]:
        """Return the selector for shares that the Service does not have yet."""
        if shares == HOME:
            return service.prior or self.workloads.selector_of(Role.TARGET)
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
