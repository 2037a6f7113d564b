"""Ask Prometheus for the load of targets: the ``signals.load.query`` of each policy, every ``signals.load.every``.

An unknown load is not sent, and neither opens a breaker nor keeps a breaker open. A query whose answer is no single
number is put on the record, once for each kind of complaint.

Each query has at most a single request under way, in one of a few lanes, with a deadline: a slow query delays no
further query. Failing queries are retried with back-off, up to a minute, which spares a Prometheus that returns.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from fuseboard import logs, metrics
from fuseboard.delivery.connections import PROMETHEUS_LANES
from fuseboard.delivery.loops import Silence, every
from fuseboard.errors import FuseboardError, InvalidInput, StoreUnavailable, Unavailable
from fuseboard.http_client import OK
from fuseboard.signals import load
from fuseboard.signals.queries import LoadBatch, load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event as Flag

    from fuseboard.delivery.connections import Connections
    from fuseboard.http_client import HttpClient, HttpResponse
    from fuseboard.policy.spec import Policy
    from fuseboard.signals.queries import LoadQuery
    from fuseboard.stores import Outbox, Store

LOOK_EVERY_S: Final = 0.5
TABLE_EVERY_S: Final = 2.0

NAME: Final = "prometheus"
TIMEOUT: Final = "4s"
"""The timeout of Prometheus, shorter than ours: then Prometheus stops working on the query, and reports the reason."""
QUERY_FAULTS: Final = frozenset({400, 422})
"""Prometheus' answers to an invalid query, and to a query that cannot be executed (HTTP API, Format overview)."""
_SHOWN_QUERY: Final = 200


class Prometheus:
    """Turns answers of Prometheus into signals; without an address there are none."""

    def __init__(
        self, store: Store, outbox: Outbox, client: HttpClient | None, clock: Callable[[], float] = time.time
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._policies: Mapping[str, Policy] = {}
        self._queries: dict[str, LoadQuery] = {}
        self._looked_at = float("-inf")
        self._silence = Silence(NAME, "answer of Prometheus")
        self._away = ""

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        pool = ThreadPoolExecutor(PROMETHEUS_LANES, thread_name_prefix=NAME)
        try:
            for _ in every(LOOK_EVERY_S, stop):
                self._look()
                if self._client is not None:
                    self._append(self._take_in())
                    self._ask(pool, self._client)
        finally:
            pool.shutdown(cancel_futures=True)

    def check(self) -> None:
        """Do nothing if loads are known, or no policy has a query.

        Raises:
            Unavailable: the store does not answer, or Prometheus has not answered for too long.

        """
        if self._client is None:
            return
        self._store.check()
        if self._queries:
            self._silence.check(self._away)

    # -- what is asked -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Follow the queries of the breaker table."""
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
        is_first = not self._queries
        self._queries = load_queries(policies, self._queries, self._now())
        if is_first:
            self._silence.end()
            if self._queries and self._client is None:
                logs.logger().warning(
                    "prometheus.no_address", queries=len(self._queries), set="FUSEBOARD_PROMETHEUS_URL, or --prometheus"
                )

    def _ask(self, pool: ThreadPoolExecutor, client: HttpClient) -> None:
        now = self._now()
        for query in self._queries.values():
            if query.due <= now and query.pending is None:
                moment = query.slots.query_time(now)
                query.due = query.slots.begin(now + query.wait_ms)
                query.pending = moment, pool.submit(_get, client, query.text, moment)

    # -- what is answered --------------------------------------------------------------------------------------------

    def _take_in(self) -> LoadBatch:
        batch = LoadBatch()
        for key, query in self._queries.items():
            if query.pending is not None and query.pending[1].done():
                (moment, future), query.pending = query.pending, None
                try:
                    self._answered(batch, key, query, moment, future.result())
                except Unavailable as error:
                    self._unavailable(query, error)
                except InvalidInput as error:
                    query.failures += 1
                    _complain(batch, key, query, str(error))
        self._silence.measure(asks=bool(self._queries))
        return batch

    def _answered(self, batch: LoadBatch, key: str, query: LoadQuery, moment: int, answer: HttpResponse) -> None:
        """Take in one answer.

        Raises:
            Unavailable: this is no answer to a query.
            InvalidInput: the answer has no load.

        """
        if answer.status != OK and answer.status not in QUERY_FAULTS:
            raise Unavailable(f"Prometheus {answer.hint}")
        self._heard()
        if self._now() - moment > load.MAX_SKEW_MS:
            raise Unavailable("the answer waited for its turn until it was too old: are the queries slow?")
        found = load.parse_answer(answer.body, moment)
        query.failures = 0
        news = query.slots.is_refresh(moment) or load.is_worth_sending(found, query.sent_load, query.policy.spec)
        metrics.count(NAME, "told" if news else "nothing_new")
        if news:
            batch.loads[key] = query, found, load.load_event(key, found, str(moment))

    def _heard(self) -> None:
        self._silence.end()
        if self._away:
            logs.logger().info("prometheus.back")
        self._away = ""

    def _unavailable(self, query: LoadQuery, error: Unavailable) -> None:
        query.failures += 1
        metrics.count(NAME, "unavailable")
        if not self._away:  # once, not for each query
            logs.logger().warning("prometheus.away", error=str(error), breaker=query.policy.key)
        self._away = str(error)

    def _append(self, batch: LoadBatch) -> None:
        if not batch.loads and not batch.complaints:
            return
        try:
            self._outbox.append(batch.events, batch.entry)
        except StoreUnavailable as error:
            # Not kept for later: a late load would count as present. The next answer is sent again.
            logs.logger().warning("prometheus.not_told", error=str(error))
            for query, _, _ in batch.loads.values():
                query.sent_load = None
            return
        for query, found, _ in batch.loads.values():
            query.sent_load = found

    def _now(self) -> int:
        return round(self._clock() * 1000)


def new(connections: Connections) -> Prometheus:
    """Return the source; without Prometheus' address, no query is sent."""
    return Prometheus(connections.store, connections.outbox, connections.prometheus)


def _get(client: HttpClient, query: str, moment: int) -> HttpResponse:
    return client.get("/api/v1/query", {"query": query, "time": f"{moment / 1000:.3f}", "timeout": TIMEOUT})


def _complain(batch: LoadBatch, key: str, query: LoadQuery, complaint: str) -> None:
    """Put a complaint about a query on the record, once for each kind."""
    metrics.count(NAME, "no_number")
    if not query.is_new(complaint):
        return
    batch.complaints[key] = complaint
    logs.logger().warning("prometheus.no_load", breaker=key, query=query.text[:_SHOWN_QUERY], problem=complaint)
