"""The breakers' rows, the outbox, and what belongs to them: the protocols, and their implementation in Redis or Valkey.

A change of a row is a pure function of the row and the store's time. It is written by one compare-and-set, together
with its journal entries and due entries: all of them exist, or none.

``Store`` and ``Outbox`` are the protocols; ``fuseboard.testing.memory`` has the implementation for tests.
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
    """The breaker table, and for each breaker of the table its row, journal and due entries.

    A key is ``namespace/name`` of a breaker. Every method raises ``StoreUnavailable`` if the store does not answer.
    """

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        """Replace the table; return the keys of removed breakers whose traffic is still moved.

        A breaker with a changed policy is due at once, since the new policy may call for another decision.
        """

    def put(self, policies: Sequence[Policy]) -> None:
        """Add breakers to the table, or change their policies as ``apply`` does; the rest of the table stays."""

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Remove breakers from the table; return the keys of the breakers whose traffic is still moved."""

    def table(self) -> Mapping[str, Policy]:
        """Return the policies by key.

        Raises:
            RecordCorrupt: a policy cannot be read.

        """

    def read(self, key: str) -> Row:
        """Return the row of a breaker at the store's time.

        Raises:
            NotEnrolled: the table does not have the breaker.
            RecordCorrupt: the record cannot be read.

        """

    def holding(self) -> list[Row]:
        """Return the rows of all breakers that hold a condition, without unreadable records."""

    def change(self, key: str, decide: Decide) -> Change:
        """Decide on a row and write the change, in one atomic step. If ``decide`` raises, no change is written.

        Raises:
            NotEnrolled: the table does not have the breaker.
            RecordCorrupt: the record cannot be read.
            Exception: any error that ``decide`` raises.

        """

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """Return the store's time in milliseconds since 1970, and the entries due by then.

        The caller may die before it acts. So an entry is handed out again, after 5 s and then with longer waits up to
        a minute, until a change of the row removes it.
        """

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """Return the newest journal entries of some breakers, newest first.

        Raises:
            RecordCorrupt: an entry cannot be read.

        """

    def check(self) -> None:
        """Check that the store answers."""


class Outbox(Protocol):
    """Keeps signals until the broker has accepted them."""

    def append(self, events: Sequence[Signal], entry: Entry) -> None:
        """Store the signals of a notification and its journal entry. Both are on disk when this method returns.

        Raises:
            StoreUnavailable: the signals may not be on disk, or the outbox is full; send the notification again.

        """
