"""Where breakers live: one record each, changed by one atomic step at a time.

``Store`` is the protocol; ``redis`` keeps it in Redis or Valkey, ``memory`` in this process. A change is a pure
function of the record and the store's time. It is applied in one compare-and-set together with its journal entries and
due entries, so that a decision, its memory and its consequences exist together or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from fuseboard.breaker import placement as placements
from fuseboard.breaker import step as breakers
from fuseboard.breaker.evidence import Weighed
from fuseboard.breaker.placement import Placement
from fuseboard.breaker.state import Breaker
from fuseboard.breaker.transitions import CLOCK_STEP_MS
from fuseboard.policy.spec import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

JOURNAL_VERSION: Final = 1
JOURNAL_CAP: Final = 1_000
"""Entries kept per breaker; the journal function exports them before they go."""

TIMER: Final = "timer"
DEBT: Final = "debt"


class Record(Struct, frozen=True):
    """All that is known of one breaker, and the store's time in milliseconds since 1970."""

    policy: Policy
    breaker: Breaker
    placement: Placement
    now: int

    @property
    def moment(self) -> int:
        """The time by the breaker's own clock, which does not run back: a trial that begins now must not be too short.

        Where the store's clock was set back by more than the breaker ignores, it is the store's time.
        """
        ahead = self.breaker.clock - self.now
        return self.breaker.clock if 0 < ahead <= CLOCK_STEP_MS else self.now

    @property
    def dues(self) -> dict[str, int]:
        """When the clock must wake somebody for this breaker, by what for."""
        dues = {}
        timer = breakers.next_due(self.breaker, self.placement, self.policy)
        if timer is not None:
            dues[TIMER] = timer
        debt = placements.debt_due(self.placement, self.breaker)
        if debt is not None:
            dues[DEBT] = debt
        return dues

    def dues_after(self, written: Mapping[str, int]) -> dict[str, int]:
        """Return what is to be written for the clock, where this was written before.

        A timer that comes too early finds nothing to do and waits for the right time: one that is on its way is not
        put off. So the repeats of an alert, which make its lease longer, write nothing.
        """
        dues, timer = self.dues, written.get(TIMER, 0)
        if self.now < timer < dues.get(TIMER, 0):
            dues[TIMER] = timer
        return dues


class Entry(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One line of the journal: signal → verdict → transition → step → result."""

    kind: str
    """``step`` (a signal was decided), ``intent`` and ``result`` (of a placement's step), ``policy``, ``ingest`` …"""
    breaker: str = ""
    now: int = 0
    version: int = JOURNAL_VERSION
    id: str = ""
    event: str = ""
    """Name of the event that led to it, ``source`` and ``id``."""
    type: str = ""
    time: int | None = None
    """When the event was taken in."""
    signal: Any = None
    """What the event said, as JSON."""
    weighed: tuple[Weighed, ...] = ()
    state: str = ""
    previous: str = ""
    epoch: int = 0
    step: int = 0
    result: str = ""
    reason: str = ""
    shares: dict[str, int] = {}
    rehearsed: bool = False
    patch: Any = None
    """What was sent to the cluster, or would have been, as JSON."""
    detail: dict[str, Any] = {}


class Change(Struct, frozen=True):
    """What a decision makes of a record, and what goes into the journal with it."""

    breaker: Breaker
    placement: Placement
    entries: tuple[Entry, ...] = ()
    answer: object = None


class Due(Struct, frozen=True):
    """Something that a breaker waits for has come."""

    key: str
    kind: str
    at: int
    attempt: int


if TYPE_CHECKING:
    Decide = Callable[[Record], Change]
    """A pure function: it may be called again, with a newer record."""


class Store(Protocol):
    """The breaker table and everything that belongs to its rows."""

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        """Make these the table; return the keys of breakers that have left it while their traffic was moved.

        A breaker whose policy has changed is due at once: the new one may ask for something else.
        """

    def put(self, policies: Sequence[Policy]) -> None:
        """Add these to the table, or give them their new policies, as ``apply`` does; the others stay as they are."""

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Take breakers from the table; return the keys of those whose traffic is still moved."""

    def table(self) -> Mapping[str, Policy]:
        """Return the table by ``namespace/name``."""

    def read(self, key: str) -> Record:
        """Return a record as it is now.

        Raises:
            NotEnrolled: the table has no such breaker.
            RecordCorrupt: the record cannot be read.
            StoreUnavailable: the store does not answer.

        """

    def holding(self) -> list[Record]:
        """Return the records of all breakers that hold a condition; one that cannot be read is left out."""

    def change(self, key: str, decide: Decide) -> Change:
        """Change a record in one atomic step; where ``decide`` raises, nothing is changed.

        Raises:
            NotEnrolled, RecordCorrupt, StoreUnavailable: as ``read``; and whatever ``decide`` raises.

        """

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """Return the store's time and what is due by then; each comes again later, until a change settles it.

        After 5 s, then ever later up to a minute: whoever was told may have died.
        """

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """Return the newest entries of some breakers, newest first."""

    def check(self) -> None:
        """Do nothing if the store can be used.

        Raises:
            StoreUnavailable: it does not answer.

        """
