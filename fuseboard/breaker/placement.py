"""The placement: who serves, and the next step towards what the breaker asks for.

``plan`` is pure. Everything that is done to the cluster carries ``(epoch, step)``: the number of transitions that the
breaker has made, and the number of changes within one. A placement whose epoch is behind the breaker's is a *debt*.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.state import State
from fuseboard.policy.spec import Route, millis

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.breaker.state import Breaker
    from fuseboard.policy.spec import Policy

FIRST_RETRY_MS: Final = 2_000
_MAX_DOUBLINGS: Final = 20


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


class Observed(Struct, frozen=True):
    """What a route driver found in the cluster."""

    fence: Fence
    shares: Shares | None
    """None: neither the target's nor the standby's; ``note`` says what is there instead."""
    note: str = ""
    ready_target: int | None = None
    ready_standby: int | None = None
    """Ready pods; None when it is not known, which blocks nothing."""


class Move(Struct, frozen=True):
    """Give the route these shares, or only seal it with the new fence where it has them already."""

    shares: Shares
    fence: Fence


class Stay(Struct, frozen=True):
    """Do nothing to the cluster, with this result."""

    result: Result
    reason: str


def wanted(breaker: Breaker, policy: Policy) -> Shares:
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


def without_cluster(policy: Policy, breaker: Breaker, placement: Placement) -> Stay | None:
    """Return the step where it is clear without a look at the cluster."""
    asked = wanted(breaker, policy)
    if not policy.spec.mode.acts:
        if placement.shares == asked:
            return Stay(Result.VERIFIED, f"in place already: {asked}")
        return Stay(Result.OBSERVED, f"would move to {asked}, but the mode is {policy.spec.mode}")
    if route_of(policy, placement) is not None:
        return None
    if placement.shares == asked:
        return Stay(Result.VERIFIED, f"in place already: {asked}")
    return Stay(Result.INEXPRESSIBLE, "there is no standby: the target keeps the traffic")


def route_of(policy: Policy, placement: Placement) -> Route | None:
    """Return the route to act on: the one that has moved the traffic, else the policy's, if there is a standby."""
    if placement.shares != Shares() and placement.route is not None:
        return placement.route
    return policy.spec.route if policy.spec.standby is not None else None


def plan(
    policy: Policy,
    breaker: Breaker,
    fence: Fence,
    observed: Observed,
    expresses: Callable[[Shares], str],
) -> Move | Stay:
    """Return the next step towards what the breaker asks for.

    ``expresses`` says why the route cannot have certain shares; it is empty where it can.
    """
    asked = wanted(breaker, policy)
    if observed.shares is None:
        return Stay(Result.REFUSED, observed.note)
    if observed.shares == asked:
        return Move(asked, fence)
    impossible = expresses(asked)
    if impossible:
        return Stay(Result.INEXPRESSIBLE, impossible)
    # A standby that gives some away may have however few pods: that is a help to it.
    lack = _lack_of_target(policy, observed) if gains_target(observed.shares, asked) else _lack(policy, observed)
    if lack:
        return Stay(Result.REFUSED, lack)
    return Move(asked, fence)


def gains_target(before: Shares | None, asked: Shares) -> bool:
    """Say whether it is the target that is given more, or all: then it is the target that has to be ready."""
    return not asked.standby or (before is not None and asked.target > before.target)


def _lack_of_target(policy: Policy, observed: Observed) -> str:
    return f"the {_name(policy, 'target')} has no ready pod" if observed.ready_target == 0 else ""


def _lack(policy: Policy, observed: Observed) -> str:
    """Say why the standby cannot take traffic: it must have its least capacity before it is given any."""
    ready, standby = observed.ready_standby, policy.spec.standby
    least = max(1, standby.min_ready if standby is not None else 1)
    if ready is None or ready >= least:
        return ""
    if not ready:
        return f"the {_name(policy, 'standby')} has no ready pod"
    return f"the {_name(policy, 'standby')} has {ready} ready pods, its minReady is {least}"


def awaited(placement: Placement, breaker: Breaker, now: int) -> bool:
    """Say whether a step is owed and its time has come."""
    if not owed(placement, breaker) or now < breaker.held_until:
        return False
    # A claim that was given back or has run out may be taken up at once: its event is sent again.
    return is_behind(placement, breaker) or placement.claim is not None or now >= placement.retry_at


def claimed(placement: Placement, breaker: Breaker, owner: str, now: int, lease_ms: int) -> Placement:
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


def set_back(placement: Placement, back: int, now: int) -> Placement:
    """Return the placement after the clock was set back: what it waits for comes no later than it would have.

    When it was verified stays as it is: a trial knows what to make of it.
    """

    def earlier(moment: int) -> int:
        return moment - back if moment > now else moment

    claim = placement.claim and replace(placement.claim, until=earlier(placement.claim.until))
    return replace(placement, retry_at=earlier(placement.retry_at), claim=claim)


def busy(placement: Placement, breaker: Breaker, now: int, *, seals: bool = True) -> bool:
    """Say whether somebody is at work, so that a step has to wait.

    A newer epoch supersedes a claim, but only if its step ``seals`` the route: the older one could still act otherwise.
    """
    claim = placement.claim
    if claim is None or claim.until <= now:
        return False
    return claim.epoch >= breaker.epoch or not seals


def owed(placement: Placement, breaker: Breaker) -> bool:
    """Say whether the placement is not yet what the breaker asks for."""
    return is_behind(placement, breaker) or placement.result not in PAID


def is_behind(placement: Placement, breaker: Breaker) -> bool:
    """Say whether the breaker has asked for something else since."""
    return (placement.epoch, placement.trial) < (breaker.epoch, breaker.trial)


def settled(placement: Placement, outcome: Placement, policy: Policy, now: int) -> Placement:
    """Return the outcome of a step as the placement; one that does not pay the debt is tried again, ever later."""
    if outcome.result in PAID:
        return replace(outcome, at=now, verified_at=now, tries=0, retry_at=0, claim=None)
    known = placement.epoch == outcome.epoch or _claimed_in(placement, outcome.epoch)
    tries = 1 + (placement.tries if known else 0)
    wait = _cool_down(policy) if outcome.result is Result.FAILED else _pause(tries, policy)
    return replace(outcome, at=now, verified_at=0, tries=tries, retry_at=now + wait, claim=None)


def debt_due(placement: Placement, breaker: Breaker) -> int | None:
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


def _pause(tries: int, policy: Policy) -> int:
    return min(FIRST_RETRY_MS << min(tries - 1, _MAX_DOUBLINGS), _cool_down(policy))


def _cool_down(policy: Policy) -> int:
    return millis(policy.spec.recover.cool_down)


def _name(policy: Policy, role: str) -> str:
    workload = getattr(policy.spec, role)
    # The policy may have been edited since the traffic was moved.
    return f"{role} {workload.kind}/{workload.name}" if workload is not None else role
