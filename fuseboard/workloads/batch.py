"""The result of an intake: signals to send, and checkpoints to move afterwards."""

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

_MAX_SHOWN_EVENTS: Final = 100
_MAX_SHOWN_NOTES: Final = 20


class WatchedKind:
    """A watch of one kind of objects in one namespace; a watch of Events also has a ledger and a checkpoint."""

    def __init__(
        self, namespace: str, ledger: Ledger | None = None, known_until: int | None = None, kind: str = EVENT
    ) -> None:
        """Continue from the ledger and the checkpoint of an earlier run.

        ``known_until`` is the time up to which all Events have been seen, in milliseconds since 1970; None on the first
        run.
        """
        self.namespace = namespace
        self.kind = kind
        self.ledger = ledger or Ledger()
        self.known_until = known_until
        self.version = ""
        self.stop = Flag()


@dataclass(slots=True)
class Batch:
    """What a few reports of the watches have brought."""

    failures: dict[str, dict[str, Failure]] = field(default_factory=dict)
    """New failures, by breaker and by key of the failure."""
    gaps: list[Event] = field(default_factory=list)
    facts: list[Event] = field(default_factory=list)
    """Changes of the readiness of targets and standbys."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the journal."""
    counts: Counter[str] = field(default_factory=Counter)
    """Occurrences by how they were used, for the journal."""
    moved: dict[str, WatchedKind] = field(default_factory=dict)
    """Watches of Events whose checkpoint moves, by namespace."""

    @property
    def is_on_record(self) -> bool:
        """Whether the batch has signals or an entry for the journal."""
        return bool(self.failures or self.notes or self.counts)

    @property
    def events(self) -> list[Event]:
        """The signals to send: gaps, then failures in as few events per breaker as possible, then readiness."""
        events = list(self.gaps)
        for breaker in sorted(self.failures):
            events += fold_failures(SOURCE, breaker, FailureDetected, self.failures[breaker].values())
        return events + self.facts

    def entry(self, events: Iterable[Event]) -> Entry:
        """Return the entry for the journal."""
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        shown = [f"{event.subject} {event.id}" for event in events][:_MAX_SHOWN_EVENTS]
        detail = dict(self.counts) | ({"events": shown} if shown else {})
        reason = "; ".join(filter(None, [*self.notes[:_MAX_SHOWN_NOTES], counts]))
        return Entry(kind="ingest", event=SOURCE, reason=reason, detail=detail)


def gap_event(watched: WatchedKind, since: int, until: int, reason: str) -> Event:
    """Return the event that reports a time without a watch, in milliseconds since 1970; log it as an error."""
    data = IngestGapFound(watched.namespace, since, until, reason[:1_024])
    logs.logger().error("apiserver.gap_found", namespace=watched.namespace, reason=reason, since=since, until=until)
    # The id leaves the end out: two watchers that continue from one checkpoint find the same gap.
    return Event(id=digest("gap", watched.namespace, str(since)), source=SOURCE, subject="", data=data)
