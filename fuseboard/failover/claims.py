"""Who may do the next step of a placement, and what becomes of the claim: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.breaker.placement import (
    FIRST_RETRY_MS,
    PAID,
    Claim,
    Placement,
    Result,
    _claimed_in,
    _cool_down,
    is_behind,
    owed,
)
from fuseboard.breaker.state import BreakerState
from fuseboard.times import back_off

if TYPE_CHECKING:
    from fuseboard.breaker.state import BreakerState
    from fuseboard.policy.spec import Policy


def awaited(placement: Placement, breaker: BreakerState, now: int) -> bool:
    """Say whether a step is owed and its time has come."""
    if not owed(placement, breaker) or now < breaker.held_until:
        return False
    # A claim that was given back or has run out may be taken up at once: its event is sent again.
    return is_behind(placement, breaker) or placement.claim is not None or now >= placement.retry_at


def claimed(placement: Placement, breaker: BreakerState, owner: str, now: int, lease_ms: int) -> Placement:
    """Return the placement with a claim of its next step; no step is ever claimed twice."""
    step = last_step(placement, breaker.epoch)
    claim = Claim(owner, breaker.epoch, step + 1, now + lease_ms)
    tries, retry_at = (placement.tries, placement.retry_at) if step else (0, 0)
    return replace(placement, claim=claim, tries=tries, retry_at=retry_at)


def last_step(placement: Placement, epoch: int) -> int:
    """Return the last step of an epoch that was claimed or done; 0 before the first."""
    claim = _claimed_in(placement, epoch)
    return max(placement.step if placement.epoch == epoch else 0, claim.step if claim else 0)


def given_back(placement: Placement, policy: Policy, now: int) -> Placement:
    """Return the placement with its claim at an end and the next try put off; the claimed step stays used."""
    if placement.claim is None:
        return placement
    tries = placement.tries + 1
    return replace(
        placement, claim=replace(placement.claim, until=now), tries=tries, retry_at=now + _pause(tries, policy)
    )


def busy(placement: Placement, breaker: BreakerState, now: int, *, seals: bool = True) -> bool:
    """Say whether somebody is at work, so that a step has to wait.

    A newer epoch supersedes a claim, but only if its step ``seals`` the route: the older one could still act otherwise.
    """
    claim = placement.claim
    if claim is None or claim.until <= now:
        return False
    return claim.epoch >= breaker.epoch or not seals


def settled(placement: Placement, outcome: Placement, policy: Policy, now: int) -> Placement:
    """Return the outcome of a step as the placement; one that does not pay the debt is tried again, ever later."""
    if outcome.result in PAID:
        return replace(outcome, at=now, verified_at=now, tries=0, retry_at=0, claim=None)
    known = placement.epoch == outcome.epoch or _claimed_in(placement, outcome.epoch)
    tries = 1 + (placement.tries if known else 0)
    wait = _cool_down(policy) if outcome.result is Result.FAILED else _pause(tries, policy)
    return replace(outcome, at=now, verified_at=0, tries=tries, retry_at=now + wait, claim=None)


def _pause(tries: int, policy: Policy) -> int:
    return back_off(FIRST_RETRY_MS, tries - 1, _cool_down(policy))
