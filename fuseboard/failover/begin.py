"""The beginning of a step: it is claimed in the store, or settled where no look at the cluster is needed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.placement import Claim, Fence, Shares
from fuseboard.breaker.row import Row
from fuseboard.errors import Busy
from fuseboard.failover import claims, plan
from fuseboard.failover.results import entry_of, repeated_reply, result_of
from fuseboard.stores.records import Change

if TYPE_CHECKING:
    from fuseboard.events.event import Event

LEASE_MS: Final = 15_000
"""How long a claim lasts: longer than the 8 s that a step may take."""


class Begun(Struct, frozen=True):
    """A claimed step, and the row with the claim in it."""

    row: Row
    claim: Claim
    unsealed: bool
    """Whether an earlier claim was not released: its patch may still be on its way."""

    @property
    def fence(self) -> Fence:
        """The fence of every patch of this step."""
        return Fence(self.claim.epoch, self.claim.step)

    @property
    def asked(self) -> Shares:
        """The shares that the breaker asked for at the claim."""
        return self.row.wanted

    def owns(self, row: Row) -> bool:
        """Say whether the claim is still in force: no other worker has taken over."""
        claim = row.placement.claim
        return claim is not None and (claim.owner, claim.step) == (self.claim.owner, self.claim.step)


def begin(row: Row, event: Event, owner: str) -> Change:
    """Claim the step that is owed; the change's answer is ``Begun``, or the reply where the step ends here.

    Raises:
        Busy: another worker has a claim on this placement.

    """
    if not claims.awaited(row):
        return Change(row.state, row.placement, answer=repeated_reply(event, row.placement))
    stay = plan.without_cluster(row)
    if claims.busy(row, seals=stay is None):
        raise Busy(f"{event.subject}: another step of its placement is running: try again in a few seconds")
    return _claim(row, event, owner) if stay is None else _settle(row, event, stay)


def _settle(row: Row, event: Event, stay: plan.Stay) -> Change:
    state = row.state
    outcome = replace(
        row.placement,
        epoch=state.epoch,
        step=claims.last_step(row),
        trial=state.trial,
        result=stay.result,
        reason=stay.reason,
        cause=event.name,
    )
    return result_of(row, event, claims.settled(row, outcome))


def _claim(row: Row, event: Event, owner: str) -> Change:
    claimed = claims.claimed(row, owner, LEASE_MS)
    claim = cast("Claim", claimed.claim)
    shares = msgspec.to_builtins(row.wanted)
    intent = replace(entry_of(event, "intent", claim), reason=row.state.reason, shares=shares)
    begun = Begun(replace(row, placement=claimed), claim, row.placement.claim is not None)
    return Change(row.state, claimed, (intent,), begun)
