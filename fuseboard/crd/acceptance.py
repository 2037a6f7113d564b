"""What CircuitBreaker resources make of the breaker table: pure, and the same for every watcher.

What is in force keeps what it has: an edit that wants another breaker's target or route is refused, and so is one that
makes ``dependsOn`` lead back to itself. Among resources that are not in force yet, the oldest is asked first. A
resource that is refused keeps its last valid policy: that one is in the table, and stays there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.crd.resource import condition, said
from fuseboard.policy import validation
from fuseboard.policy.spec import Policy
from fuseboard.policy.validation import claims, clash_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fuseboard.crd.resource import Manifest, Resource

ACCEPTED: Final = "Accepted"
INVALID: Final = "Invalid"
TAKEN: Final = "Taken"
CIRCULAR: Final = "Circular"


class Acceptance(Struct, frozen=True):
    """Whether a resource is the policy in force, and why."""

    reason: str
    message: str

    @property
    def is_accepted(self) -> bool:
        """Whether it is."""
        return self.reason == ACCEPTED


_YES: Final = Acceptance(ACCEPTED, "this is the policy in force")


class TableChange(Struct, frozen=True):
    """What is to be put into the table, and what is to be said of each resource that was looked at."""

    put: tuple[Policy, ...]
    verdicts: Mapping[str, Acceptance]


class AcceptedPolicies:
    """Knows the resources, and which of them are in force as they are."""

    def __init__(self) -> None:
        """Begin before the first list."""
        self.resources: dict[str, Resource] = {}
        self._settled: dict[str, Policy] = {}
        """Policies that have been put into the table. They are not put again: another watcher may know better."""
        self._open: dict[str, None] = {}
        """Resources that have not been put into the table as they are."""
        self._deleted: set[str] = set()

    def listed(self, found: Iterable[Resource]) -> None:
        """Take in all that there are."""
        listed = {resource.key: resource for resource in found}
        for key in self.resources.keys() - listed.keys():
            self.gone(key)
        for resource in listed.values():
            self.changed(resource)

    def changed(self, resource: Resource) -> None:
        """Take in one that is new or has changed."""
        key, known = resource.key, self.resources.get(resource.key)
        self.resources[key] = resource
        edited = known is None or (known.uid, known.generation) != (resource.uid, resource.generation)
        (self._deleted.add if resource.deleted_at is not None and resource.is_held else self._deleted.discard)(key)
        if edited or self._settled.get(key) != resource.policy:
            self._open[key] = None

    def gone(self, key: str) -> None:
        """Take in that there is no such resource any more."""
        for known in (self.resources, self._settled, self._open):
            known.pop(key, None)
        self._deleted.discard(key)

    def decide(self, table: Mapping[str, Policy]) -> TableChange:
        """Return what is to be done about the resources that are not in force as they are."""
        if not table:  # the store has lost it
            self._settled = {}
            self._open = dict.fromkeys(self.resources)
        rows, put, verdicts = _Rows(table), dict[str, Policy](), dict[str, Acceptance]()
        waiting = sorted((self.resources[key] for key in self._open), key=lambda each: each.age)
        while waiting:  # what one gives up, an earlier one may take
            refused = []
            for resource in waiting:
                verdict = verdicts[resource.key] = _judged(resource, rows)
                if resource.policy is None or not verdict.is_accepted:
                    refused.append(resource)
                elif rows.take(resource.policy):
                    put[resource.key] = resource.policy
            waiting = refused if len(refused) < len(waiting) else []
        return TableChange(tuple(put.values()), verdicts)

    def settle(self, decision: TableChange) -> None:
        """Remember what was done."""
        for key, verdict in decision.verdicts.items():
            resource = self.resources.get(key)
            if verdict.is_accepted and resource is not None and resource.policy is not None:
                self._settled[key] = resource.policy
                self._open.pop(key, None)

    def deleted(self) -> list[Resource]:
        """Return resources that go when our finalizer has."""
        return [self.resources[key] for key in sorted(self._deleted)]

    def lives(self, key: str) -> bool:
        """Say whether there is a resource that nobody has deleted."""
        found = self.resources.get(key)
        return found is not None and found.deleted_at is None

    def orphans(self, table: Mapping[str, Policy]) -> set[str]:
        """Return rows of the table whose resource is gone."""
        return table.keys() - self.resources.keys()


class _Rows:
    """The table as it becomes, and whose its targets and routes are."""

    def __init__(self, table: Mapping[str, Policy]) -> None:
        self._policies = dict(table)
        self._owners = {claim: key for key, policy in table.items() for claim in claims(policy)}

    def __contains__(self, key: str) -> bool:
        return key in self._policies

    def take(self, policy: Policy) -> bool:
        """Put a policy in; return whether that is a change."""
        before = self._policies.get(policy.key)
        if before is not None:
            for claim in claims(before):
                self._owners.pop(claim, None)
        self._policies[policy.key] = policy
        self._owners.update(dict.fromkeys(claims(policy), policy.key))
        return before != policy

    def taken(self, policy: Policy) -> str:
        """Say which claim of a policy is another breaker's."""
        owners = ((claim, self._owners.get(claim, policy.key)) for claim in claims(policy))
        return next((clash_message(claim, owner) for claim, owner in owners if owner != policy.key), "")

    def way_back(self, policy: Policy) -> tuple[str, ...]:
        """Return the breakers over which the dependencies of a policy would lead back to it."""
        came_from, waiting = dict[str, str](), [policy]
        while waiting:
            each = waiting.pop()
            for name in each.spec.depends_on:
                key = f"{each.namespace}/{name}"
                if key == policy.key:
                    return tuple(_way(each.key, came_from))
                if key in self._policies and key not in came_from:
                    came_from[key] = each.key
                    waiting.append(self._policies[key])
        return ()


def _way(last: str, came_from: Mapping[str, str]) -> list[str]:
    way = [last]
    while way[-1] in came_from:
        way.append(came_from[way[-1]])
    return way[::-1]


def _judged(resource: Resource, rows: _Rows) -> Acceptance:
    refused = _refusal(resource, rows)
    if refused is None:
        return _YES
    stays = "the last valid policy stays in force" if resource.key in rows else "no policy of its is in force"
    return Acceptance(refused.reason, f"{refused.message}; until then {stays}")


def _refusal(resource: Resource, rows: _Rows) -> Acceptance | None:
    if resource.policy is None:
        return Acceptance(INVALID, resource.problem)
    taken = rows.taken(resource.policy)
    if taken:
        return Acceptance(TAKEN, taken)
    way = rows.way_back(resource.policy)
    return Acceptance(CIRCULAR, validation.cycle_message(way)) if way else None


def told(resource: Resource, verdict: Acceptance, now: int) -> Manifest | None:
    """Return what is applied to the status to say the verdict; None where it says so already."""
    before, seen = resource.status, resource.generation
    accepted = condition(
        before, "Accepted", so=verdict.is_accepted, reason=verdict.reason, message=verdict.message, now=now
    )
    accepted["observedGeneration"] = seen
    if before.get("observedGeneration") == seen and accepted in (before.get("conditions") or ()):
        return None
    return said(resource.key, {"observedGeneration": seen, "conditions": [accepted]})
