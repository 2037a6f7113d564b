"""Which CircuitBreaker resources become policies in force: pure, and the same in every watcher.

A policy in force keeps its target and its route: an edit that claims the target or the route of another breaker is
refused, and so is an edit that makes ``dependsOn`` lead back to its own breaker. Among resources that are not yet in
force, the oldest comes first. A refused resource keeps its last valid policy, which stays in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.crd.conditions import condition
from fuseboard.crd.resource import status_patch
from fuseboard.errors import Problem
from fuseboard.policy.spec import Policy
from fuseboard.policy.validation import claims, clash_message, cycle_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fuseboard.cluster import Manifest
    from fuseboard.crd.resource import Resource

ACCEPTED: Final = "Accepted"
INVALID: Final = "Invalid"
TAKEN: Final = "Taken"
CIRCULAR: Final = "Circular"


class Acceptance(Struct, frozen=True):
    """Whether the policy of a resource is in force, and why: reason and message of the condition ``Accepted``."""

    reason: str
    message: str

    @property
    def is_accepted(self) -> bool:
        """Whether the policy is in force."""
        return self.reason == ACCEPTED


_IN_FORCE: Final = Acceptance(ACCEPTED, "this is the policy in force")


class TableChange(Struct, frozen=True):
    """Policies to put into the table, and the acceptance of each resource that was judged, by its key."""

    put: tuple[Policy, ...]
    acceptances: Mapping[str, Acceptance]


class AcceptedPolicies:
    """The resources of the cluster, and the policies of theirs that are in the table."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self._settled: dict[str, Policy] = {}
        """Policies that were put into the table, by key. They are put once: another watcher may know newer ones."""
        self._open: dict[str, None] = {}
        """Keys of resources whose present policy is not in the table."""
        self._deleted: set[str] = set()

    def listed(self, resources: Iterable[Resource]) -> None:
        """Replace all resources by a list of them."""
        listed = {resource.key: resource for resource in resources}
        for key in self.resources.keys() - listed.keys():
            self.gone(key)
        for resource in listed.values():
            self.changed(resource)

    def changed(self, resource: Resource) -> None:
        """Add a resource, or replace its earlier version."""
        key, known = resource.key, self.resources.get(resource.key)
        self.resources[key] = resource
        is_edited = known is None or (known.uid, known.generation) != (resource.uid, resource.generation)
        (self._deleted.add if resource.deleted_at is not None and resource.is_held else self._deleted.discard)(key)
        if is_edited or self._settled.get(key) != resource.policy:
            self._open[key] = None

    def gone(self, key: str) -> None:
        """Remove a resource."""
        for known in (self.resources, self._settled, self._open):
            known.pop(key, None)
        self._deleted.discard(key)

    def decide(self, table: Mapping[str, Policy]) -> TableChange:
        """Judge the resources whose present policy is not in the table."""
        if not table:  # the store has lost its data
            self._settled = {}
            self._open = dict.fromkeys(self.resources)
        draft, put, acceptances = _Draft(table), dict[str, Policy](), dict[str, Acceptance]()
        waiting = sorted((self.resources[key] for key in self._open), key=lambda each: each.age)
        while waiting:  # an accepted edit may give up a claim that an older resource waits for
            refused = []
            for resource in waiting:
                acceptance = acceptances[resource.key] = _acceptance(resource, draft)
                if resource.policy is None or not acceptance.is_accepted:
                    refused.append(resource)
                elif draft.take(resource.policy):
                    put[resource.key] = resource.policy
            waiting = refused if len(refused) < len(waiting) else []
        return TableChange(tuple(put.values()), acceptances)

    def settle(self, change: TableChange) -> None:
        """Record that a change of the table is done."""
        for key, acceptance in change.acceptances.items():
            resource = self.resources.get(key)
            if acceptance.is_accepted and resource is not None and resource.policy is not None:
                self._settled[key] = resource.policy
                self._open.pop(key, None)

    def deleted(self) -> list[Resource]:
        """Return the deleted resources that exist only because of our finalizer."""
        return [self.resources[key] for key in sorted(self._deleted)]

    def lives(self, key: str) -> bool:
        """Say whether a resource exists and is not deleted."""
        resource = self.resources.get(key)
        return resource is not None and resource.deleted_at is None

    def orphans(self, table: Mapping[str, Policy]) -> set[str]:
        """Return the keys of table rows without a resource."""
        return table.keys() - self.resources.keys()


class _Draft:
    """The table with the changes decided up to now, and the owners of its targets and routes."""

    def __init__(self, table: Mapping[str, Policy]) -> None:
        self._policies = dict(table)
        self._owners = {claim: key for key, policy in table.items() for claim in claims(policy)}

    def __contains__(self, key: str) -> bool:
        return key in self._policies

    def take(self, policy: Policy) -> bool:
        """Put a policy in; return whether the table changes."""
        before = self._policies.get(policy.key)
        if before is not None:
            for claim in claims(before):
                self._owners.pop(claim, None)
        self._policies[policy.key] = policy
        self._owners.update(dict.fromkeys(claims(policy), policy.key))
        return before != policy

    def clash(self, policy: Policy) -> Problem | None:
        """Check that no claim of a policy belongs to another breaker."""
        for claim in claims(policy):
            owner = self._owners.get(claim, policy.key)
            if owner != policy.key:
                return Problem(clash_message(claim, owner))
        return None

    def circle(self, policy: Policy) -> Problem | None:
        """Check that the dependencies of a policy do not lead back to its breaker."""
        came_from, waiting = dict[str, str](), [policy]
        while waiting:
            each = waiting.pop()
            for name in each.spec.depends_on:
                key = f"{each.namespace}/{name}"
                if key == policy.key:
                    return Problem(cycle_message(_way(each.key, came_from)))
                if key in self._policies and key not in came_from:
                    came_from[key] = each.key
                    waiting.append(self._policies[key])
        return None


def _way(last: str, came_from: Mapping[str, str]) -> tuple[str, ...]:
    way = [last]
    while way[-1] in came_from:
        way.append(came_from[way[-1]])
    return tuple(reversed(way))


def _acceptance(resource: Resource, draft: _Draft) -> Acceptance:
    refused = _refusal(resource, draft)
    if refused is None:
        return _IN_FORCE
    stays = "the last valid policy stays in force" if resource.key in draft else "it has no policy in force"
    return Acceptance(refused.reason, f"{refused.message}; until then {stays}")


def _refusal(resource: Resource, draft: _Draft) -> Acceptance | None:
    if resource.policy is None:
        return Acceptance(INVALID, resource.problem)
    for reason, check in ((TAKEN, draft.clash), (CIRCULAR, draft.circle)):
        problem = check(resource.policy)
        if problem is not None:
            return Acceptance(reason, str(problem))
    return None


def acceptance_patch(resource: Resource, acceptance: Acceptance, now: int) -> Manifest | None:
    """Return the status to apply for an acceptance; None if the resource has this status already."""
    before, generation = resource.status, resource.generation
    accepted = condition(
        before,
        "Accepted",
        holds=acceptance.is_accepted,
        reason=acceptance.reason,
        message=acceptance.message,
        now=now,
    )
    accepted["observedGeneration"] = generation
    if before.get("observedGeneration") == generation and accepted in (before.get("conditions") or ()):
        return None
    return status_patch(resource.key, {"observedGeneration": generation, "conditions": [accepted]})
