"""An outbox and a sink for tests: both keep every event, and fail when a test tells them to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from fuseboard.errors import InvalidInput, SinkUnavailable, StoreUnavailable
from fuseboard.events.types import DATA_TYPES, FailureDetected, IngestGapFound
from fuseboard.events.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuseboard.events.event import Event
    from fuseboard.events.types import Failure
    from fuseboard.stores.records import Entry


@dataclass
class MemoryOutbox:
    """See ``stores.Outbox``: events pass the wire format on their way in, as in the real outbox."""

    gone: bool = False
    """Refuse every notification."""
    refusals: int = 0
    """Refuse this many notifications first."""
    refused: int = 0
    """How many notifications were refused."""
    events: list[Event] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def append(self, events: Sequence[Event], entry: Entry) -> None:
        if self.gone or self.refusals:
            self.refusals -= not self.gone
            self.refused += 1
            raise StoreUnavailable("redis at 127.0.0.1 does not answer")
        assert msgspec.json.encode(entry)
        self.events += [decode(message.headers, message.body, DATA_TYPES) for message in map(encode, events)]
        self.entries.append(entry)

    def check(self) -> None:
        if self.gone:
            raise StoreUnavailable("redis at 127.0.0.1 does not answer")

    @property
    def batches(self) -> int:
        """How many notifications were taken in."""
        return len(self.entries)

    @property
    def failures(self) -> list[Failure]:
        """All detected failures, in order."""
        found = (each.data.failures for each in self.events if isinstance(each.data, FailureDetected))
        return [failure for failures in found for failure in failures]

    @property
    def keys(self) -> list[str]:
        """The keys of all detected failures, in order."""
        return [failure.key for failure in self.failures]

    @property
    def gaps(self) -> list[IngestGapFound]:
        """All gaps that were reported."""
        return [each.data for each in self.events if isinstance(each.data, IngestGapFound)]


@dataclass
class MemorySink:
    """See ``delivery.sinks.Sink``; events are chosen by their id."""

    gone: bool = False
    """Refuse every event for now."""
    later: set[str] = field(default_factory=set)
    """Ids of events that are refused for now."""
    never: set[str] = field(default_factory=set)
    """Ids of events that are refused permanently."""
    broken: set[str] = field(default_factory=set)
    """Ids of events at which the sink fails with a bug."""
    events: list[Event] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    """The id of each event at each try."""

    def send(self, event: Event) -> None:
        self.tries.append(event.id)
        if self.gone or event.id in self.later:
            raise SinkUnavailable("not now")
        if event.id in self.never:
            raise InvalidInput("never")
        if event.id in self.broken:
            raise ZeroDivisionError
        self.events.append(event)
