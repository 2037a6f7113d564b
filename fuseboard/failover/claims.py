"""Claims: which worker may do the next step of a placement, and the placement after the step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.breaker.placement import FIRST_RETRY_MS, PAID, Claim, Placement, Result
from fuseboard.times import back_off

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row


def awaited(row: Row) -> bool:
    """Say whether a step is owed and its time has come."""
    if not row.owed or row.now < row.state.held_until:
        return False
    # A claim that was given back or has run out may be renewed at once: its event is sent again.
    return row.is_behind or row.placement.claim is not None or row.now >= row.placement.retry_at


def claimed(row: Row, owner: str, lease_ms: int) -> Placement:
    """Return the placement with a claim of its next step; no step is ever claimed twice."""
    placement, step = row.placement, last_step(row)
    claim = Claim(owner, row.state.epoch, step + 1, row.now + lease_ms)
    tries, retry_at = (placement.tries, placement.retry_at) if step else (0, 0)
    return replace(placement, claim=claim, tries=tries, retry_at=retry_at)


def last_step(row: Row) -> int:
    """Return the last step of the breaker's epoch that was claimed or done; 0 before the first."""
    placement, epoch = row.placement, row.state.epoch
    claim = placement.claim_in(epoch)
    return max(placement.step if placement.epoch == epoch else 0, claim.step if claim else 0)


def given_back(row: Row) -> Placement:
    """Return the placement with its claim at an end and the next try put off; the claimed step stays used."""
    placement, now = row.placement, row.now
    if placement.claim is None:
        return placement
    tries = placement.tries + 1
    claim = replace(placement.claim, until=now)
    return replace(placement, claim=claim, tries=tries, retry_at=now + _pause(tries, row))


def busy(row: Row, *, seals: bool = True) -> bool:
    """Say whether another worker has a claim, so that a step has to wait.

    A newer epoch supersedes a claim, but only if its step ``seals`` the route: the older one could still act otherwise.
    """
    claim = row.placement.claim
    if claim is None or claim.until <= row.now:
        return False
    return claim.epoch >= row.state.epoch or not seals


def settled(row: Row, outcome: Placement) -> Placement:
    """Return the placement after a step; a step that does not pay the debt is retried with back-off."""
    now, placement = row.moment, row.placement
    if outcome.result in PAID:
        return replace(outcome, at=now, verified_at=now, tries=0, retry_at=0, claim=None)
    known = placement.epoch == outcome.epoch or placement.claim_in(outcome.epoch)
    tries = 1 + (placement.tries if known else 0)
    wait = row.first_cool_down if outcome.result is Result.FAILED else _pause(tries, row)
    return replace(outcome, at=now, verified_at=0, tries=tries, retry_at=now + wait, claim=None)


def _pause(tries: int, row: Row) -> int:
    return back_off(FIRST_RETRY_MS, tries - 1, row.first_cool_down)
