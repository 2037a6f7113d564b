"""One claimed step of a placement: the route is patched, verified, and put back if the move does not hold.

Every patch is sent under the version of the last read, and carries the fence of the claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from fuseboard.breaker.placement import Result, Shares
from fuseboard.errors import ClusterUnavailable, Conflict
from fuseboard.failover import plan
from fuseboard.failover.plan import Move, Stay
from fuseboard.failover.routes.driver import Seen

if TYPE_CHECKING:
    from fuseboard.cluster import Manifest
    from fuseboard.errors import Problem
    from fuseboard.events.event import Event
    from fuseboard.failover.begin import Begun
    from fuseboard.failover.claimed import ClaimedStep
    from fuseboard.failover.routes.driver import RouteDriver

MAX_CONFLICTS: Final = 5


class Sent(Struct, frozen=True):
    """A patch that may have been applied, with its decision and the route as it was read before."""

    seen: Seen
    todo: Move | Stay
    patch: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Carries out one claimed step."""

    claim: ClaimedStep

    def run(self) -> Event | None:
        """Do the step, release the claim and return the reply; None where another worker has taken over."""
        return self.claim.released(self._move, self._begun.row.placement.shares)

    @property
    def _begun(self) -> Begun:
        return self.claim.begun

    @property
    def _driver(self) -> RouteDriver:
        return self.claim.driver

    def _move(self) -> Event | None:
        fence, sent = self._begun.fence, None
        for _ in range(MAX_CONFLICTS):
            seen = self._driver.observe(self._begun.asked)
            if sent is not None and seen.observed.fence == fence:
                return self.verify(sent)  # the patch was sent twice on the way: no other worker has this fence
            if seen.observed.fence >= fence:
                return self.claim.overtaken(seen.observed.fence, seen.observed.shares)
            todo = plan.plan(self._begun.row, fence, seen.observed, partial(self._driver.expresses, seen))
            if isinstance(todo, Stay) and not self._begun.unsealed:
                return self._stay(seen, todo)
            patch = self._driver.seal(seen, fence) if isinstance(todo, Stay) else self._driver.patch(seen, todo)
            sent = Sent(seen, todo, patch)
            if is_applied(self.claim, patch):
                return self.verify(sent)
        raise _too_many_conflicts(self.claim)

    def verify(self, sent: Sent) -> Event | None:
        """Verify the effect of a patch, and put the route back if there is none."""
        move = sent.todo
        if isinstance(move, Stay):
            return self._stay(sent.seen, move)
        return self.claim.released(lambda: self._judge(sent, move), move.shares)

    def _judge(self, sent: Sent, move: Move) -> Event | None:
        moved, problem = sent.seen.observed.shares != move.shares, self._driver.verify(sent.seen, move)
        if problem is None:
            reason = f"moved to {move.shares}" if moved else f"in place already: {move.shares}"
            return self.claim.settle(Result.VERIFIED, reason, move.shares, sent.patch)
        if not moved:
            return self.claim.settle(Result.REFUSED, str(problem), move.shares, sent.patch)
        claim = self.claim.undoing(str(problem))
        return None if claim is None else Undo(claim, sent.seen, problem).run(move.shares)

    def _stay(self, seen: Seen, stay: Stay) -> Event | None:
        shares = seen.observed.shares or self._begun.row.placement.shares
        return self.claim.settle(stay.result, stay.reason, shares)


@dataclass(frozen=True, slots=True)
class Undo:
    """Puts the route back after a move that did not hold, under a claim of its own."""

    claim: ClaimedStep
    seen: Seen
    """The route before the move."""
    problem: Problem

    def run(self, moved: Shares) -> Event | None:
        """Put the route back as far as the move is still in place; return the reply. ``moved`` are the moved shares."""
        return self.claim.released(self._revert, moved)

    def _revert(self) -> Event | None:
        shares = self.seen.observed.shares or Shares()
        for _ in range(MAX_CONFLICTS):
            patch = self.claim.driver.revert(self.seen, self.claim.begun.fence)
            if patch is None:
                return self.claim.settle(Result.REVERTED, f"{self.problem}: left as it is now", shares)
            if is_applied(self.claim, patch):
                return self.claim.settle(Result.REVERTED, f"{self.problem}: back to {shares}", shares, patch)
        raise _too_many_conflicts(self.claim)


def is_applied(claim: ClaimedStep, patch: Manifest) -> bool:
    """Send a patch; return False if the route has changed since the read."""
    begun = claim.begun
    try:
        claim.driver.apply(patch)
    except Conflict:
        return False
    except ClusterUnavailable:
        # No answer is not a no: the fence tells whether the patch was applied.
        if claim.driver.observe(begun.asked).observed.fence != begun.fence:
            raise
    return True


def _too_many_conflicts(claim: ClaimedStep) -> ClusterUnavailable:
    return ClusterUnavailable(f"{claim.event.subject}: the route was changed {MAX_CONFLICTS} times in between")
