"""Ask Prometheus for the load of targets: the ``signals.load.query`` of each policy, every ``signals.load.every``.

What is not known is not told: it neither opens a breaker nor keeps it open. A query without one number as its answer is
put on the record, once for what is wrong with it.

Each query has at most one ask under way, in one of a few lanes, with a deadline: a slow one holds up nobody else. One
that failed is asked ever more seldom, up to once a minute: so does a Prometheus that is away not get everything at once
when it is back.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from fuseboard import logs, metrics
from fuseboard.delivery.loops import Silence
from fuseboard.errors import FuseboardError, InvalidInput, StoreUnavailable, Unavailable
from fuseboard.http_client import OK, HttpClient
from fuseboard.signals import load
from fuseboard.stores.records import Entry
from fuseboard.times import back_off

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from threading import Event as Flag

    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.http_client import HttpResponse
    from fuseboard.policy.spec import Policy
    from fuseboard.signals.load import QuerySlots
    from fuseboard.stores import Outbox, Store

LOOK_EVERY_S: Final = 0.5
TABLE_EVERY_S: Final = 2.0
LANES: Final = 8
"""Prometheus answers 20 queries at once (``--query.max-concurrency``): two replicas must leave some to others."""
SELDOM_MS: Final = 60_000

NAME: Final = "prometheus"
TIMEOUT: Final = "4s"
"""Prometheus' own, shorter than ours: then it says itself what took so long, and stops working on it."""
QUERY_FAULTS: Final = frozenset({400, 422})
"""Prometheus' answers to a query that is wrong, and to one that cannot be executed (HTTP API, Format overview)."""
_SHOWN_EVENTS: Final = 100
_SHOWN_QUERY: Final = 200

Asked: TypeAlias = "tuple[int, Future[HttpResponse]]"
"""The moment that is asked for, and the answer to come."""


@dataclass(slots=True)
class _Query:
    """One breaker's query."""

    policy: Policy
    slots: QuerySlots
    due: int
    told: float | None = None
    failed: int = 0
    complaints: set[str] = field(default_factory=set)
    asked: Asked | None = None

    @property
    def text(self) -> str:
        """The query itself."""
        wanted = self.policy.spec.signals.load
        return wanted.query if wanted is not None else ""

    def wait(self) -> int:
        """Return how long until the next ask, in milliseconds."""
        every = self.slots.every
        return max(every, back_off(every, self.failed, SELDOM_MS))


@dataclass(slots=True)
class _Batch:
    """What one look found out."""

    told: dict[str, tuple[_Query, float, Event]] = field(default_factory=dict)
    complaints: dict[str, str] = field(default_factory=dict)

    @property
    def entry(self) -> Entry:
        """What goes on the record."""
        events = [f"{event.subject} {event.id}" for _, _, event in self.told.values()][:_SHOWN_EVENTS]
        detail = {"events": events, "complaints": self.complaints}
        reason = f"{len(self.told)} loads told, {len(self.complaints)} queries without a number"
        return Entry(kind="ingest", event=load.SOURCE, reason=reason, detail={k: v for k, v in detail.items() if v})


class Prometheus:
    """Turns answers of Prometheus into signals; without an address there are none."""

    def __init__(
        self, store: Store, outbox: Outbox, asker: HttpClient | None, clock: Callable[[], float] = time.time
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._outbox = outbox
        self._asker = asker
        self._clock = clock
        self._policies: Mapping[str, Policy] = {}
        self._queries: dict[str, _Query] = {}
        self._looked_at = float("-inf")
        self._silence = Silence(NAME, "answer of Prometheus")
        self._away = ""

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        pool = ThreadPoolExecutor(LANES, thread_name_prefix=NAME)
        try:
            while not stop.wait(LOOK_EVERY_S):
                self._look()
                if self._asker is not None:
                    self._hand_over(self._take_in())
                    self._ask(pool, self._asker)
        finally:
            pool.shutdown(cancel_futures=True)

    def check(self) -> None:
        """Do nothing if loads are known, or nobody wants to know any.

        Raises:
            Unavailable: the store does not answer, or Prometheus has not answered for too long.

        """
        if self._asker is None:
            return
        self._store.check()
        if self._queries:
            self._silence.check(self._away)

    # -- what is asked -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Ask what the table asks for, and nothing else."""
        if time.monotonic() < self._looked_at + TABLE_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            policies = self._store.table()
        except FuseboardError as error:
            logs.logger().warning("prometheus.waiting", error=str(error))
            return
        if policies is not self._policies:
            self._policies = policies
            self._know(policies)

    def _know(self, policies: Mapping[str, Policy]) -> None:
        before, now = self._queries, self._now()
        self._queries = {}
        for key, policy in policies.items():
            slots = load.query_slots(policy)
            if slots is not None:
                query = _Query(policy, slots, slots.first_query(now))
                known = before.get(key)
                if known is not None and (known.text, known.slots) == (query.text, slots):
                    known.policy, query = policy, known
                self._queries[key] = query
        if not before:
            self._silence.end()
            if self._queries and self._asker is None:
                logs.logger().warning(
                    "prometheus.no_address", queries=len(self._queries), set="FUSEBOARD_PROMETHEUS_URL, or --prometheus"
                )

    def _ask(self, pool: ThreadPoolExecutor, asker: HttpClient) -> None:
        now = self._now()
        for query in self._queries.values():
            if query.due <= now and query.asked is None:
                moment = query.slots.query_time(now)
                query.due = query.slots.begin(now + query.wait())
                query.asked = moment, pool.submit(_get, asker, query.text, moment)

    # -- what is answered --------------------------------------------------------------------------------------------

    def _take_in(self) -> _Batch:
        batch = _Batch()
        for key, query in self._queries.items():
            if query.asked is not None and query.asked[1].done():
                (moment, future), query.asked = query.asked, None
                try:
                    self._answered(batch, key, query, moment, future.result())
                except Unavailable as error:
                    self._unavailable(query, error)
                except InvalidInput as error:
                    query.failed += 1
                    _complain(batch, key, query, str(error))
        self._silence.measure(asks=bool(self._queries))
        return batch

    def _answered(self, batch: _Batch, key: str, query: _Query, moment: int, answer: HttpResponse) -> None:
        """Take in one answer.

        Raises:
            Unavailable: it is no answer to a query.
            InvalidInput: it holds no load.

        """
        if answer.status != OK and answer.status not in QUERY_FAULTS:
            raise Unavailable(f"Prometheus {answer.hint}")
        self._heard()
        if self._now() - moment > load.MAX_SKEW_MS:
            raise Unavailable("the answer waited for its turn until it was too old: are the queries slow?")
        found = load.parse_answer(answer.body, moment)
        query.failed = 0
        news = query.slots.is_refresh(moment) or load.is_worth_sending(found, query.told, query.policy.spec)
        metrics.count(NAME, "told" if news else "nothing_new")
        if news:
            batch.told[key] = query, found, load.load_event(key, found, str(moment))

    def _heard(self) -> None:
        self._silence.end()
        if self._away:
            logs.logger().info("prometheus.back")
        self._away = ""

    def _unavailable(self, query: _Query, error: Unavailable) -> None:
        query.failed += 1
        metrics.count(NAME, "unavailable")
        if not self._away:  # once, not for each query
            logs.logger().warning("prometheus.away", error=str(error), breaker=query.policy.key)
        self._away = str(error)

    def _hand_over(self, batch: _Batch) -> None:
        if not batch.told and not batch.complaints:
            return
        try:
            self._outbox.append([event for _, _, event in batch.told.values()], batch.entry)
        except StoreUnavailable as error:
            # Not kept for later: what is taken in counts as so by then. The next answer is news again.
            logs.logger().warning("prometheus.not_told", error=str(error))
            for query, _, _ in batch.told.values():
                query.told = None
            return
        for query, found, _ in batch.told.values():
            query.told = found

    def _now(self) -> int:
        return round(self._clock() * 1000)


def new(connections: Connections) -> Prometheus:
    """Return the source; without Prometheus' address it does nothing."""
    return Prometheus(connections.store, connections.outbox, connections.prometheus)


def _get(asker: HttpClient, query: str, moment: int) -> HttpResponse:
    return asker.get("/api/v1/query", {"query": query, "time": f"{moment / 1000:.3f}", "timeout": TIMEOUT})


def _complain(batch: _Batch, key: str, query: _Query, complaint: str) -> None:
    """Put on the record what is wrong with a query, once for each kind of thing."""
    metrics.count(NAME, "no_number")
    kind = complaint.partition(":")[0]
    if kind in query.complaints:
        return
    query.complaints.add(kind)
    batch.complaints[key] = complaint
    logs.logger().warning("prometheus.no_load", breaker=key, query=query.text[:_SHOWN_QUERY], problem=complaint)
