"""The placement: who serves, and the next step towards what the breaker asks for.

``plan`` is pure. Everything that is done to the cluster carries ``(epoch, step)``: the number of transitions that the
breaker has made, and the number of changes within one. A placement whose epoch is behind the breaker's is a *debt*.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.policy.spec import Route

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

    def claim_in(self, epoch: int) -> Claim | None:
        """Return the claim of a step of this epoch, if there is one."""
        return self.claim if self.claim is not None and self.claim.epoch == epoch else None

    def set_back(self, back: int, now: int) -> Placement:
        """Return the placement after the clock was set back: what it waits for comes no later than it would have.

        When it was verified stays as it is: a trial knows what to make of it.
        """

        def earlier(moment: int) -> int:
            return moment - back if moment > now else moment

        claim = self.claim and replace(self.claim, until=earlier(self.claim.until))
        return replace(self, retry_at=earlier(self.retry_at), claim=claim)
