"""A claimed step in the store: its result is written under the claim, or not at all.

Every worker claims its fence in the store before the first patch of the route. A fence on the route that is unknown to
the store means that another worker has taken over, or a loss of memory in the store: either way this step ends.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.breaker.placement import Fence, Placement, Result, Shares
from fuseboard.breaker.step import adopt
from fuseboard.errors import Refused, Unavailable
from fuseboard.events.event import Event
from fuseboard.failover import claims
from fuseboard.failover.begin import Begun
from fuseboard.failover.results import entry_of, reply_to, result_of
from fuseboard.stores.records import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Manifest
    from fuseboard.failover.routes.driver import RouteDriver
    from fuseboard.stores import Store


@dataclass(frozen=True, slots=True)
class ClaimedStep:
    """Releases the claim of a step: with a result, given back, or passed on to the step that undoes this step."""

    store: Store
    driver: RouteDriver
    event: Event
    begun: Begun
    rehearsed: bool

    def released(self, work: Callable[[], Event | None], shares: Shares) -> Event | None:
        """Do some work, and release the claim at its end, on errors too.

        ``shares`` are in place if the cluster refuses the work.
        """
        try:
            return work()
        except Refused as error:
            return self.settle(Result.FAILED, str(error), shares)
        except Unavailable as error:
            self._give_back(str(error))
            raise

    def settle(self, result: Result, reason: str, shares: Shares, patch: Manifest | None = None) -> Event | None:
        """Release the claim with a result and return the reply; a late result changes nothing."""

        def decide(row: Row) -> Change:
            placement = self._outcome(row, result, reason, shares)
            detail = {"assumed": dict(self.driver.assumed)} if self.driver.assumed else {}
            return result_of(row, self.event, placement, patch=patch, detail=detail)

        return self._replied(decide)

    def overtaken(self, fence: Fence, shares: Shares | None) -> Event | None:
        """End the step: the route carries a fence above the claim's, from another worker or a loss of memory."""

        def decide(row: Row) -> Change:
            if row.state.epoch > fence.epoch:
                return Change(row.state, row.placement)
            return self._adopted(row, fence, shares)

        return self._replied(decide)

    def undoing(self, reason: str) -> ClaimedStep | None:
        """Claim one more step, to undo this one; None if another worker has taken over."""

        def decide(row: Row) -> Change:
            claim = replace(self.begun.claim, step=self.begun.claim.step + 1)
            placement = replace(row.placement, claim=claim)
            entry = replace(entry_of(self.event, "intent", claim), reason=f"undo: {reason}", rehearsed=self.rehearsed)
            return Change(row.state, placement, (entry,), replace(self.begun, claim=claim))

        begun = self._change(decide).answer
        return dataclasses.replace(self, begun=begun) if isinstance(begun, Begun) else None

    def _give_back(self, reason: str) -> None:
        """Let another worker try at once: the event is sent again."""

        def decide(row: Row) -> Change:
            entry = replace(entry_of(self.event, "result", self.begun.claim), result="unavailable", reason=reason)
            return Change(row.state, claims.given_back(row), (entry,))

        self._change(decide)

    def _outcome(self, row: Row, result: Result, reason: str, shares: Shares) -> Placement:
        outcome = Placement(
            epoch=self.begun.claim.epoch,
            step=self.begun.claim.step,
            trial=self.begun.row.state.trial,
            shares=shares,
            result=result,
            reason=reason,
            rehearsed=self.rehearsed,
            cause=self.event.name,
            route=None if shares == Shares() else self.driver.route,
        )
        return claims.settled(row, outcome)

    def _adopted(self, row: Row, fence: Fence, shares: Shares | None) -> Change:
        """Go on above a fence that the store does not know, one cool-down later."""
        state = adopt(row, fence.epoch).state
        outcome = self._outcome(row, Result.REFUSED, state.reason, shares or row.placement.shares)
        placement = replace(outcome, epoch=state.epoch, step=0, retry_at=state.held_until)
        memory = replace(entry_of(self.event, "memory", placement), reason=state.reason)
        return Change(state, placement, (memory,), reply_to(self.event, placement))

    def _replied(self, decide: Callable[[Row], Change]) -> Event | None:
        answer = self._change(decide).answer
        return answer if isinstance(answer, Event) else None

    def _change(self, decide: Callable[[Row], Change]) -> Change:
        def if_ours(row: Row) -> Change:
            if self.begun.owns(row):
                return decide(row)
            known = Fence(row.state.epoch, claims.last_step(row))
            if known < self.begun.fence:
                # The store has forgotten this very claim, and patches under it may be on the route.
                return self._adopted(row, self.begun.fence, None)
            return Change(row.state, row.placement)

        return self.store.change(self.event.subject, if_ours)
