"""From alerts to the ingress of a real broker.

One notification tells of 50 alerts of 50 breakers; the clock stops when the broker has accepted 50 events: the webhook
has put them on disk, and the relay has taken them out of the outbox, several at a time. The floor posts as many signals
to the same ingress, one after the other over one connection that is kept.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bench.measure import Result, answered, client, interleave, medians, ratio
from bench.signals import JSON, alert, alerts_again, notification, workloads
from fuseboard.events.wire import encode
from fuseboard.stores.keys import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from bench.measure import Plan

ALERTS: Final = 50
WARM_UP: Final = 3
TAKEN_WITHIN_S: Final = 30.0


def accepted(plan: Plan, redis_url: str, webhook: str, ingress: str, *, behind: str) -> Result:
    """Measure; ``behind`` says who gets the broker's events."""
    sides = {"floor": _one_by_one(ingress), "ours": _notified(redis_url, webhook)}
    for _ in range(WARM_UP):
        for side in sides.values():
            side()
    samples = {name: [1_000 * each for each in found] for name, found in interleave(sides, 2 * plan.rounds).items()}
    return Result(
        name=f"{ALERTS} alerts of {ALERTS} breakers -> {ALERTS} events, broker with {behind}",
        ratio=ratio(samples["ours"], samples["floor"]),
        at_most=0.55,
        unit="ms",
        sides=medians(samples),
        note=f"floor: {ALERTS} posts to the same ingress, http.client, keep-alive, one by one",
    )


def _notified(redis_url: str, webhook: str) -> Callable[[], float]:
    outbox, body = client(redis_url), notification([alert(name, at) for at, name in enumerate(workloads(ALERTS))])

    def measure() -> float:
        before = _appended(outbox)
        with _connected(webhook) as connection:
            begin = time.perf_counter()
            answered(connection, "/", JSON, body)
            _wait_until_taken(outbox)
            taken = time.perf_counter() - begin
        assert _appended(outbox) == before + ALERTS, "each breaker's alert is an event of its own"
        return taken

    return measure


def _one_by_one(ingress: str) -> Callable[[], float]:
    path, numbers = urlsplit(ingress).path, itertools.count(time.time_ns() // 1_000, ALERTS)

    def measure() -> float:
        messages = [encode(event) for event in alerts_again(workloads(ALERTS), ALERTS, next(numbers))]
        with _connected(ingress) as connection:
            begin = time.perf_counter()
            for message in messages:
                answered(connection, path, message.headers, bytes(message.body))
            return time.perf_counter() - begin

    return measure


@contextlib.contextmanager
def _connected(url: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TAKEN_WITHIN_S)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def _appended(outbox: redis.Redis) -> int:
    """Return how many events have ever been in the outbox."""
    count: int = outbox.xinfo_stream(OUTBOX)["entries-added"]
    return count


def _wait_until_taken(outbox: redis.Redis) -> None:
    give_up = time.monotonic() + TAKEN_WITHIN_S
    while waiting := outbox.xlen(OUTBOX):
        if time.monotonic() > give_up:
            message = f"the broker has not taken {waiting} events within {TAKEN_WITHIN_S:g} s"
            raise TimeoutError(message)
        time.sleep(0.001)
