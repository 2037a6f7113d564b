"""Queries for the load of targets: their due times, and the results of a round of answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from fuseboard.signals import load
from fuseboard.stores.records import Entry
from fuseboard.times import back_off

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from fuseboard.events.event import Event
    from fuseboard.http_client import HttpResponse
    from fuseboard.policy.spec import Policy
    from fuseboard.signals.load import QuerySlots

LONGEST_WAIT_MS: Final = 60_000
"""Longest wait between two tries of a failing query, unless the policy asks for a longer interval."""
_SHOWN_EVENTS: Final = 100

Pending: TypeAlias = "tuple[int, Future[HttpResponse]]"
"""The time that a query asks for, in milliseconds since 1970, and the expected answer."""


@dataclass(slots=True)
class LoadQuery:
    """The query of a breaker."""

    policy: Policy
    slots: QuerySlots
    due: int
    """When to send the query next, in milliseconds since 1970."""
    sent_load: float | None = None
    """The load that was last sent to the breaker; None before the first load, and after a lost load."""
    failures: int = 0
    complaints: set[str] = field(default_factory=set)
    pending: Pending | None = None

    @property
    def text(self) -> str:
        """The query in PromQL."""
        source = self.policy.spec.signals.load
        return source.query if source is not None else ""

    @property
    def wait_ms(self) -> int:
        """The wait until the next try, in milliseconds."""
        every = self.slots.every
        return max(every, back_off(every, self.failures, LONGEST_WAIT_MS))

    def is_new(self, complaint: str) -> bool:
        """Say whether a complaint is the first of its kind about this query, and remember the kind."""
        kind = complaint.partition(":")[0]
        is_new = kind not in self.complaints
        self.complaints.add(kind)
        return is_new


def load_queries(policies: Mapping[str, Policy], known: Mapping[str, LoadQuery], now: int) -> dict[str, LoadQuery]:
    """Return the queries of the breaker table; unchanged queries are taken from ``known``."""
    queries = {}
    for key, policy in policies.items():
        slots = load.query_slots(policy)
        if slots is None:
            continue
        query, before = LoadQuery(policy, slots, slots.first_query(now)), known.get(key)
        if before is not None and (before.text, before.slots) == (query.text, slots):
            before.policy, query = policy, before
        queries[key] = query
    return queries


@dataclass(slots=True)
class LoadBatch:
    """The loads and complaints from a round of answers, by breaker."""

    loads: dict[str, tuple[LoadQuery, float, Event]] = field(default_factory=dict)
    complaints: dict[str, str] = field(default_factory=dict)

    @property
    def events(self) -> list[Event]:
        """The loads as events for their breakers."""
        return [event for _, _, event in self.loads.values()]

    @property
    def entry(self) -> Entry:
        """The round as an entry of the journal."""
        events = [f"{event.subject} {event.id}" for event in self.events[:_SHOWN_EVENTS]]
        detail = {"events": events, "complaints": self.complaints}
        reason = f"{len(self.loads)} loads sent, {len(self.complaints)} queries without a number"
        return Entry(kind="ingest", event=load.SOURCE, reason=reason, detail={k: v for k, v in detail.items() if v})
