"""The placement: who serves, and the next step towards what the breaker asks for.

``plan`` is pure. Everything that is done to the cluster carries ``(epoch, step)``: the number of transitions that the
breaker has made, and the number of changes within one. A placement whose epoch is behind the breaker's is a *debt*.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.state import BreakerState, State
from fuseboard.policy.spec import Route
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from fuseboard.breaker.state import BreakerState
    from fuseboard.policy.spec import Policy

FIRST_RETRY_MS: Final = 2_000


class Result(StrEnum):
    """What became of a placement's last step."""

    VERIFIED = "verified"
    OBSERVED = "observed"
    INEXPRESSIBLE = "inexpressible"
    REFUSED = "refused"
    FAILED = "failed"
    REVERTED = "reverted"


PAID: Final = frozenset({Result.VERIFIED, Result.OBSERVED, Result.INEXPRESSIBLE})
"""Results that clear the debt of their epoch."""


class Shares(Struct, frozen=True, rename="camel"):
    """Percentages of the traffic; they sum to 100."""

    target: int = 100
    standby: int = 0

    def __str__(self) -> str:
        parts = {"target": self.target, "standby": self.standby}
        return ", ".join(f"{name} {share} %" for name, share in parts.items() if share)


class Fence(Struct, frozen=True, order=True, array_like=True):
    """``(epoch, step)``: on an object it only rises."""

    epoch: int = 0
    step: int = 0


class Claim(Struct, frozen=True, rename="camel"):
    """Somebody is at work on this placement, until the lease ends or a newer epoch supersedes it."""

    owner: str
    epoch: int
    step: int
    until: int


class Placement(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who serves, by the last step that was done or decided against."""

    epoch: int = 0
    step: int = 0
    trial: int = 0
    """Which of the trial's shares it answers, where its epoch is that of a trial."""
    shares: Shares = Shares()
    result: Result = Result.VERIFIED
    reason: str = ""
    verified_at: int = 0
    rehearsed: bool = False
    cause: str = ""
    """Name of the event that led to it: a duplicate of that one gets the same answer."""
    at: int = 0
    tries: int = 0
    retry_at: int = 0
    claim: Claim | None = None
    route: Route | None = None
    """While traffic is moved: the route that moved it. A later edit of the policy does not change what is undone."""

    @property
    def inexpressible(self) -> bool:
        """Whether the route cannot have what was asked for."""
        return self.result is Result.INEXPRESSIBLE


def wanted(breaker: BreakerState, policy: Policy) -> Shares:
    """Return what the breaker asks for."""
    match breaker.state:
        case State.OPEN:
            return Shares(target=0, standby=100)
        case State.LIMITED:
            return Shares(target=50, standby=50)
        case State.HALF_OPEN:
            shares = policy.spec.recover.shares
            target = shares[min(breaker.trial, len(shares) - 1)]
            return Shares(target=target, standby=100 - target)
        case _:
            return Shares()


def set_back(placement: Placement, back: int, now: int) -> Placement:
    """Return the placement after the clock was set back: what it waits for comes no later than it would have.

    When it was verified stays as it is: a trial knows what to make of it.
    """

    def earlier(moment: int) -> int:
        return moment - back if moment > now else moment

    claim = placement.claim and replace(placement.claim, until=earlier(placement.claim.until))
    return replace(placement, retry_at=earlier(placement.retry_at), claim=claim)


def owed(placement: Placement, breaker: BreakerState) -> bool:
    """Say whether the placement is not yet what the breaker asks for."""
    return is_behind(placement, breaker) or placement.result not in PAID


def is_behind(placement: Placement, breaker: BreakerState) -> bool:
    """Say whether the breaker has asked for something else since."""
    return (placement.epoch, placement.trial) < (breaker.epoch, breaker.trial)


def debt_due(placement: Placement, breaker: BreakerState) -> int | None:
    """Return when the debt is to be looked at again, or None when nothing is owed."""
    if not owed(placement, breaker):
        return None
    claim = _claimed_in(placement, breaker.epoch)
    moments = [breaker.held_until, breaker.trial_since or breaker.since + FIRST_RETRY_MS]
    if claim is not None or placement.epoch == breaker.epoch:
        moments.append(placement.retry_at)
    if claim is not None:
        moments.append(claim.until)
    return max(moments)


def _claimed_in(placement: Placement, epoch: int) -> Claim | None:
    claim = placement.claim
    return claim if claim is not None and claim.epoch == epoch else None


def _cool_down(policy: Policy) -> int:
    return duration_ms(policy.spec.recover.cool_down)


def verified(breaker: BreakerState, placement: Placement) -> int:
    """Return since when what the breaker asks for is in place, in milliseconds since 1970; 0 when it is not."""
    is_current = (placement.epoch, placement.trial) == (breaker.epoch, breaker.trial)
    return placement.verified_at if is_current else 0
