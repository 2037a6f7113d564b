"""What the watches have reported since the last batch, sorted by where it goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.cluster.names import EVENT
from fuseboard.events.event import Event, digest
from fuseboard.events.types import FailureDetected, IngestGapFound
from fuseboard.signals.fold import fold_failures
from fuseboard.stores.records import Entry
from fuseboard.workloads.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fuseboard.events.types import Failure


SOURCE: Final = "/apiserver"
_SHOWN_EVENTS: Final = 100


_SHOWN_NOTES: Final = 20


class WatchedKind:
    """One kind in one namespace; of Events, what is known of them and how far that goes."""

    def __init__(
        self, namespace: str, ledger: Ledger | None = None, known_until: int | None = None, kind: str = EVENT
    ) -> None:
        """Begin with what an earlier run knew; ``known_until`` is None before the first list ever."""
        self.namespace = namespace
        self.kind = kind
        self.ledger = ledger or Ledger()
        self.known_until = known_until
        """Until then all was seen, in milliseconds since 1970."""
        self.version = ""
        self.stop = Flag()


@dataclass(slots=True)
class Batch:
    """What some watches have heard, by what becomes of it."""

    told: dict[str, dict[str, Failure]] = field(default_factory=dict)
    gaps: list[Event] = field(default_factory=list)
    facts: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    moved: dict[str, WatchedKind] = field(default_factory=dict)

    @property
    def is_on_record(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.told or self.notes or self.counts)

    @property
    def events(self) -> list[Event]:
        """What goes to the broker: gaps, one event of failures per breaker or as few as will carry it, capacities."""
        found = list(self.gaps)
        for breaker in sorted(self.told):
            found += fold_failures(SOURCE, breaker, FailureDetected, self.told[breaker].values())
        return found + self.facts

    def entry(self, events: Iterable[Event]) -> Entry:
        """Return what goes on the record."""
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        shown = [f"{event.subject} {event.id}" for event in events][:_SHOWN_EVENTS]
        detail = dict(self.counts) | ({"events": shown} if shown else {})
        reason = "; ".join(filter(None, [*self.notes[:_SHOWN_NOTES], counts]))
        return Entry(kind="ingest", event=SOURCE, reason=reason, detail=detail)


def _gap(followed: WatchedKind, since: int, until: int, reason: str) -> Event:
    data = IngestGapFound(followed.namespace, since, until, reason[:1_024])
    logs.logger().error("apiserver.gap_found", namespace=followed.namespace, reason=reason, since=since, until=until)
    # Not the end of it: two watchers that go on from one checkpoint find the same gap.
    return Event(id=digest("gap", followed.namespace, str(since)), source=SOURCE, subject="", data=data)
