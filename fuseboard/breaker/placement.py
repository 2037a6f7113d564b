"""The placement: how traffic is shared between target and standby, and the result of the last step.

Every change of the cluster carries a fence ``(epoch, step)``: the number of transitions of the breaker, and the number
of changes within the epoch. A placement whose epoch is behind the breaker's is a *debt*.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.policy.spec import Route

FIRST_RETRY_MS: Final = 2_000


class Result(StrEnum):
    """The result of a placement's last step."""

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
    """``(epoch, step)``: the fence of an object only rises."""

    epoch: int = 0
    step: int = 0


class Claim(Struct, frozen=True, rename="camel"):
    """The claim of a worker on this placement, until the lease ends or a newer epoch supersedes the claim."""

    owner: str
    epoch: int
    step: int
    until: int


class Placement(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The shares of traffic by the last step that was done or decided against."""

    epoch: int = 0
    step: int = 0
    trial: int = 0
    """The index of the trial's share that is placed, in the epoch of a trial."""
    shares: Shares = Shares()
    result: Result = Result.VERIFIED
    reason: str = ""
    verified_at: int = 0
    rehearsed: bool = False
    cause: str = ""
    """Name of the event that led to the step: a duplicate of the event gets the same reply."""
    at: int = 0
    tries: int = 0
    retry_at: int = 0
    claim: Claim | None = None
    route: Route | None = None
    """While traffic is moved: the route that moved it, so that an edit of the policy does not change the way back."""

    @property
    def inexpressible(self) -> bool:
        """Whether the route cannot express the shares that the breaker asks for."""
        return self.result is Result.INEXPRESSIBLE

    def claim_in(self, epoch: int) -> Claim | None:
        """Return the claim of a step of this epoch, if there is one."""
        return self.claim if self.claim is not None and self.claim.epoch == epoch else None

    def set_back(self, back: int, now: int) -> Placement:
        """Return the placement after the clock was set back: retries and leases come no later than before.

        The time of verification stays: a trial corrects for the clock itself (``trial.placed_since``).
        """

        def earlier(moment: int) -> int:
            return moment - back if moment > now else moment

        claim = self.claim and replace(self.claim, until=earlier(self.claim.until))
        return replace(self, retry_at=earlier(self.retry_at), claim=claim)
