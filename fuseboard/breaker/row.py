"""The row of a breaker: policy, state and placement at a moment of the store's clock.

A row travels as a single value from the store to the rules. It is immutable: a rule returns a new row.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.placement import FIRST_RETRY_MS, PAID, Placement, Result, Shares
from fuseboard.breaker.state import CAPACITY_LEASE_MS, BreakerState, Dependency, State
from fuseboard.events.types import Action
from fuseboard.policy.enums import Mode
from fuseboard.policy.spec import Policy
from fuseboard.roles import Role
from fuseboard.times import duration_ms

CLOCK_STEP_MS: Final = 60_000
"""A store clock that runs back by less is ignored; by more, it is adopted after a cool-down."""


class Tally(Struct, frozen=True):
    """The weight of a breaker's evidence, counted in a single pass: the window may be long."""

    weight: int
    opening: int
    """Weight without the evidence that only limits."""
    causes: frozenset[str]
    critical: str
    """The cause of the first critical failure; empty when there is none."""


class Row(Struct, frozen=True, dict=True):
    """Policy, state and placement of a breaker, and the time."""

    policy: Policy
    state: BreakerState
    placement: Placement
    now: int
    """The store's time, in milliseconds since 1970."""

    @property
    def key(self) -> str:
        """The breaker's key, ``namespace/name``."""
        return self.policy.key

    @property
    def moment(self) -> int:
        """The time by the breaker's own clock, which does not run back: a trial that begins now must not be too short.

        Where the store's clock was set back by more than ``CLOCK_STEP_MS``, it is the store's time.
        """
        ahead = self.state.clock - self.now
        return self.state.clock if 0 < ahead <= CLOCK_STEP_MS else self.now

    @property
    def mode(self) -> Mode:
        """The mode in force: an operator's ``trip`` overrides the policy's mode."""
        override = self.state.override
        return Mode.FORCED_OPEN if override is not None and override.action is Action.TRIP else self.policy.spec.mode

    @cached_property
    def tally(self) -> Tally:
        """The weight of the evidence; every guard of a decision reads the same count."""
        causes, weight, opening, critical = set[str](), 0, 0, ""
        for each in self.state.weighing:
            causes.add(each.cause)
            weight += each.weight
            opening += 0 if each.limits_only else each.weight
            critical = critical or (each.cause if each.critical else "")
        return Tally(weight, opening, frozenset(causes), critical)

    @property
    def first_cool_down(self) -> int:
        """The cool-down of an episode's first opening, in milliseconds."""
        return duration_ms(self.policy.spec.recover.cool_down)

    @property
    def wanted(self) -> Shares:
        """The shares of traffic that the breaker asks for in its state."""
        match self.state.state:
            case State.OPEN:
                return Shares(target=0, standby=100)
            case State.LIMITED:
                return Shares(target=50, standby=50)
            case State.HALF_OPEN:
                shares = self.policy.spec.recover.shares
                target = shares[min(self.state.trial, len(shares) - 1)]
                return Shares(target=target, standby=100 - target)
            case _:
                return Shares()

    @property
    def is_behind(self) -> bool:
        """Whether the breaker has moved, or gone on to another share of a trial, since the placement's last step."""
        return (self.placement.epoch, self.placement.trial) < (self.state.epoch, self.state.trial)

    @property
    def owed(self) -> bool:
        """Whether the placement is not yet as the breaker asks."""
        return self.is_behind or self.placement.result not in PAID

    @property
    def verified_since(self) -> int:
        """Since when the placement is as the breaker asks, in milliseconds since 1970; 0 when it is not."""
        placement, state = self.placement, self.state
        is_current = (placement.epoch, placement.trial) == (state.epoch, state.trial)
        return placement.verified_at if is_current else 0

    @property
    def debt_due(self) -> int | None:
        """When failover must look at the debt again, in milliseconds since 1970; None when no step is owed."""
        if not self.owed:
            return None
        state, placement = self.state, self.placement
        claim = placement.claim_in(state.epoch)
        moments = [state.held_until, state.trial_since or state.since + FIRST_RETRY_MS]
        if claim is not None or placement.epoch == state.epoch:
            moments.append(placement.retry_at)
        if claim is not None:
            moments.append(claim.until)
        return max(moments)

    @property
    def lacks(self) -> bool:
        """Whether the target is known to have fewer ready pods than ``minReady``."""
        known = self.state.capacity.get(Role.TARGET)
        if known is None or known.seen <= self.state.clock - CAPACITY_LEASE_MS:
            return False
        return known.lacks(self.policy.spec.target.min_ready)

    @property
    def as_dependency(self) -> Dependency:
        """The breaker as a dependency of breakers that name it in ``dependsOn``.

        Only a standby that serves in the target's place helps them: a placement that was observed or inexpressible is
        not verified for dependents.
        """
        serves = self.placement.result is Result.VERIFIED
        return Dependency(self.policy.metadata.name, self.state.state, self.verified_since if serves else 0)

    def at(self, now: int) -> Row:
        """Return the row as read at another time of the store."""
        return replace(self, now=now)

    def having(self, **changes: Any) -> Row:  # noqa: ANN401 (fields of the state, of several types)
        """Return the row with some fields of its state changed."""
        return replace(self, state=replace(self.state, **changes))
