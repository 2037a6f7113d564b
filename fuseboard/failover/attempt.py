"""One claimed step towards what a breaker asks for: done, verified, or undone, and the claim released.

Whoever acts on a route claims its fence in the store first, and patches under the version that it read. So a fence that
the store does not know means that somebody has taken over, or that the store has lost its memory: either way this step
does nothing more.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.placement import Claim, Fence, Placement, Result, Shares
from fuseboard.breaker.row import Row
from fuseboard.breaker.step import adopt
from fuseboard.errors import ClusterUnavailable, Conflict, Refused, Unavailable
from fuseboard.events.event import Event
from fuseboard.failover import claims, plan
from fuseboard.failover.plan import Move, Stay
from fuseboard.failover.results import _reply, entry_of, name_of, result_of
from fuseboard.failover.routes.driver import Seen
from fuseboard.stores.records import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.cluster import Manifest
    from fuseboard.errors import Problem
    from fuseboard.failover.routes.driver import RouteDriver
    from fuseboard.stores import Store

MAX_CONFLICTS: Final = 5


class Begun(Struct, frozen=True):
    """A step that is claimed: the row with the claim in it."""

    row: Row
    claim: Claim
    unsealed: bool
    """Whether an earlier claim was not released: its patch may still be on its way."""

    @property
    def fence(self) -> Fence:
        """The fence of whatever this step does."""
        return Fence(self.claim.epoch, self.claim.step)

    @property
    def asked(self) -> Shares:
        """What the breaker asked for when it was claimed."""
        return self.row.wanted

    def owns(self, row: Row) -> bool:
        """Say whether the claim is still in force: nobody has taken over."""
        claim = row.placement.claim
        return claim is not None and (claim.owner, claim.step) == (self.claim.owner, self.claim.step)


class Sent(Struct, frozen=True):
    """A patch that may have been applied, what was decided and what it was decided on."""

    seen: Seen
    todo: Move | Stay
    patch: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Carries one claimed step out, and releases the claim."""

    store: Store
    route: RouteDriver
    event: Event
    begun: Begun
    rehearsed: bool

    def run(self) -> Event | None:
        """Do the step."""
        return self.released(self._move, self.begun.row.placement.shares)

    def released(self, work: Callable[[], Event | None], shares: Shares) -> Event | None:
        """Do some work, and release the claim however it ends; ``shares`` are those in place if it is refused."""
        try:
            return work()
        except Refused as error:
            return self._settle(Result.FAILED, str(error), shares)
        except Unavailable as error:
            self._give_back(str(error))
            raise

    def _move(self) -> Event | None:
        row, fence, sent = self.begun.row, self.begun.fence, None
        for _ in range(MAX_CONFLICTS):
            seen = self.route.observe(self.begun.asked)
            if sent is not None and seen.observed.fence == fence:
                return self._verify(sent)  # it was sent twice on the way: nobody else has this fence
            if seen.observed.fence >= fence:
                return self._overtaken(seen)
            expresses = partial(self.route.expresses, seen)
            todo = plan.plan(row, fence, seen.observed, expresses)
            if isinstance(todo, Stay) and not self.begun.unsealed:
                return self._stay(seen, todo)
            patch = self.route.seal(seen, fence) if isinstance(todo, Stay) else self.route.patch(seen, todo)
            sent = Sent(seen, todo, patch)
            if self._applied(sent):
                return self._verify(sent)
        raise ClusterUnavailable(f"{self.event.subject}: the route was changed {MAX_CONFLICTS} times in between")

    def _applied(self, sent: Sent) -> bool:
        """Send a patch; False if the route has changed since it was read."""
        try:
            self.route.apply(sent.patch)
        except Conflict:
            return False
        except ClusterUnavailable:
            # No answer is not a no: the fence tells whether it was applied.
            if self.route.observe(self.begun.asked).observed.fence != self.begun.fence:
                raise
        return True

    def _verify(self, sent: Sent) -> Event | None:
        seen, move = sent.seen, sent.todo
        if isinstance(move, Stay):
            return self._stay(seen, move)
        return self.released(lambda: self._judge(sent, move), move.shares)

    def _judge(self, sent: Sent, move: Move) -> Event | None:
        moved, problem = sent.seen.observed.shares != move.shares, self.route.verify(sent.seen, move)
        if problem is None:
            reason = f"moved to {move.shares}" if moved else f"in place already: {move.shares}"
            return self._settle(Result.VERIFIED, reason, move.shares, sent.patch)
        if not moved:
            return self._settle(Result.REFUSED, str(problem), move.shares, sent.patch)
        undoing = self._next_step(str(problem))
        if undoing is None:
            return None
        return undoing.released(lambda: undoing.undo(sent, problem), move.shares)

    def undo(self, sent: Sent, problem: Problem) -> Event | None:
        """Put back what the step before has moved, as far as it is still ours."""
        shares = sent.seen.observed.shares or Shares()
        for _ in range(MAX_CONFLICTS):
            patch = self.route.revert(sent.seen, self.begun.fence)
            if patch is None:
                return self._settle(Result.REVERTED, f"{problem}: left as it is now", shares)
            if self._applied(Sent(sent.seen, sent.todo, patch)):
                return self._settle(Result.REVERTED, f"{problem}: back to {shares}", shares, patch)
        raise ClusterUnavailable(f"{self.event.subject}: the route was changed {MAX_CONFLICTS} times in between")

    # -- the end of a claim ------------------------------------------------------------------------------------------

    def _stay(self, seen: Seen, stay: Stay) -> Event | None:
        return self._settle(stay.result, stay.reason, seen.observed.shares or self.begun.row.placement.shares)

    def _settle(self, result: Result, reason: str, shares: Shares, patch: Manifest | None = None) -> Event | None:
        """Release the claim with a result; a late one changes nothing."""

        def decide(row: Row) -> Change:
            placement = self._outcome(row, result, reason, shares)
            detail = {"assumed": dict(self.route.assumed)} if self.route.assumed else {}
            return result_of(row, self.event, placement, patch=patch, detail=detail)

        return self._told(decide)

    def _outcome(self, row: Row, result: Result, reason: str, shares: Shares) -> Placement:
        outcome = Placement(
            epoch=self.begun.claim.epoch,
            step=self.begun.claim.step,
            trial=self.begun.row.state.trial,
            shares=shares,
            result=result,
            reason=reason,
            rehearsed=self.rehearsed,
            cause=name_of(self.event),
            route=None if shares == Shares() else self.route.route,
        )
        return claims.settled(row, outcome)

    def _give_back(self, reason: str) -> None:
        """Let the next one try at once: its event is sent again."""

        def decide(row: Row) -> Change:
            placement = claims.given_back(row)
            entry = replace(entry_of(self.event, "result", self.begun.claim), result="unavailable", reason=reason)
            return Change(row.state, placement, (entry,))

        self._change(decide)

    def _overtaken(self, seen: Seen) -> Event | None:
        """Stop: the route carries a fence that this claim was not told of.

        Either somebody has taken over, or the store has lost what it knew: whoever fences claims in the store first.
        """
        fence = seen.observed.fence

        def decide(row: Row) -> Change:
            if row.state.epoch > fence.epoch:
                return Change(row.state, row.placement)
            return self._adopted(row, fence, seen.observed.shares)

        return self._told(decide)

    def _adopted(self, row: Row, fence: Fence, shares: Shares | None) -> Change:
        """Go on above a fence that the store does not know, one cool-down later."""
        state = adopt(row, fence.epoch).state
        outcome = self._outcome(row, Result.REFUSED, state.reason, shares or row.placement.shares)
        placement = replace(outcome, epoch=state.epoch, step=0, retry_at=state.held_until)
        memory = replace(entry_of(self.event, "memory", placement), reason=state.reason)
        return Change(state, placement, (memory,), _reply(self.event, placement))

    def _next_step(self, reason: str) -> Attempt | None:
        """Claim one more step, to undo the one before; None if somebody has taken over."""

        def decide(row: Row) -> Change:
            claim = replace(self.begun.claim, step=self.begun.claim.step + 1)
            placement = replace(row.placement, claim=claim)
            entry = replace(entry_of(self.event, "intent", claim), reason=f"undo: {reason}", rehearsed=self.rehearsed)
            return Change(row.state, placement, (entry,), replace(self.begun, claim=claim))

        begun = self._change(decide).answer
        return dataclasses.replace(self, begun=begun) if isinstance(begun, Begun) else None

    def _told(self, decide: Callable[[Row], Change]) -> Event | None:
        answer = self._change(decide).answer
        return answer if isinstance(answer, Event) else None

    def _change(self, decide: Callable[[Row], Change]) -> Change:
        def if_ours(row: Row) -> Change:
            if self.begun.owns(row):
                return decide(row)
            known = Fence(row.state.epoch, claims.last_step(row))
            if known < self.begun.fence:
                # The store has forgotten this very claim, and what was done under it may be on the route.
                return self._adopted(row, self.begun.fence, None)
            return Change(row.state, row.placement)

        return self.store.change(self.event.subject, if_ours)
