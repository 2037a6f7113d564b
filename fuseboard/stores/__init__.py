"""Where breakers live: one record each, changed by one atomic step at a time.

``Store`` is the protocol; ``redis`` keeps it in Redis or Valkey, ``memory`` in this process. A change is a pure
function of the record and the store's time. It is applied in one compare-and-set together with its journal entries and
due entries, so that a decision, its memory and its consequences exist together or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fuseboard.breaker.row import Row
    from fuseboard.events.event import Event as Signal
    from fuseboard.policy.spec import Policy
    from fuseboard.stores.records import Change, Decide, Due, Entry


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

    def read(self, key: str) -> Row:
        """Return a row as it is now.

        Raises:
            NotEnrolled: the table has no such breaker.
            RecordCorrupt: the record cannot be read.
            StoreUnavailable: the store does not answer.

        """

    def holding(self) -> list[Row]:
        """Return the rows of all breakers that hold a condition; one that cannot be read is left out."""

    def change(self, key: str, decide: Decide) -> Change:
        """Change a row in one atomic step; where ``decide`` raises, nothing is changed.

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


class Outbox(Protocol):
    """Keeps signals until they are the broker's."""

    def append(self, events: Sequence[Signal], entry: Entry) -> None:
        """Take in what a notification said, with its line in the journal; it is on disk when this returns.

        Raises:
            StoreUnavailable: nothing was stored, or it is not known to be on disk: send the notification again.

        """
