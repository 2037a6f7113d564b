"""The cost of a long breaker table: time per decision and memory in Redis, from 1 to 100,000 targets.

Ours is ``functions.breaker`` on two servers in turns, one with a table of one breaker, the other with all of them;
decisions are on breakers that have been decided on before, as with one target. The floor is the drift of a script that
only returns, between the same two servers. Targets: performance, row "time per decision, 1 → 100k targets".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from bench.decisions import floor
from bench.measure import Result, client, interleave, medians, rate, ratio, valkey_apart
from bench.signals import NAMESPACE, alerts_again, policies, workloads
from functions.breaker import Breaker
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from bench.measure import Plan

FULL: Final = 100_000
QUICK: Final = 10_000
BUSY: Final = 50
"""Of all targets, those that signals are about."""

REMEMBERED: Final = 33
"""Decisions on each before it is measured: by then a record is as long as it becomes."""


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    count = plan.of(FULL, QUICK)
    with valkey_apart(plan.folder / "one") as one, valkey_apart(plan.folder / "many") as many:
        few, all_ = Table(one, workloads(1)), Table(many, workloads(count))
        yield Result(
            name=f"bytes of Redis per idle target, {count:,} targets",
            ratio=all_.bytes_each / all_.record_bytes,
            over="its record",
            limit=600,
            unit="B",
            sides={"ours": all_.bytes_each, "record": all_.record_bytes},
            note="all that the server uses beside what it used when empty; the record is one hash",
        )
        yield from times(plan, few, all_)


def times(plan: Plan, few: Table, all_: Table) -> Iterator[Result]:
    """Hold decisions of one table against those of another one."""
    calls = plan.of(1_000, 400)
    sides = {
        "one": lambda: few.seconds(few.names, calls),
        "many": lambda: all_.seconds(all_.names[:: len(all_.names) // BUSY], calls),
        "any": lambda: all_.seconds(all_.unseen(calls), calls),
        "floor, one": lambda: 1 / floor(few.plain, calls),
        "floor, many": lambda: 1 / floor(all_.plain, calls),
    }
    samples = {name: [1e6 * each for each in values] for name, values in interleave(sides, plan.rounds).items()}
    told, drift = medians(samples), ratio(samples["floor, many"], samples["floor, one"])
    size = f"{len(all_.names):,}"
    yield Result(
        name=f"time per decision, 1 -> {size} targets",
        ratio=ratio(samples["many"], samples["one"]),
        over="1 target",
        at_most=1.3,
        unit="µs",
        sides={"ours": told["many"], "1 target": told["one"]},
        note=f"{BUSY} of the targets have signals; the floor drifts by {drift:.2f}",
    )
    yield Result(
        name=f"time per decision, 1 -> {size} targets, first signal of each",
        ratio=ratio(samples["any"], samples["one"]),
        over="1 target",
        unit="µs",
        sides={"ours": told["any"], "1 target": told["one"]},
        note="the process has no copy of the record and reads it before it decides",
    )


class Table:
    """A table of breakers on a server of its own, and the function."""

    def __init__(self, url: str, names: list[str]) -> None:
        self.names, self.plain = names, client(url)
        self._number = 0
        self._next_unseen = 1
        store = open_store(url)
        empty = used(self.plain)
        store.apply(policies(names))
        self.bytes_each = (used(self.plain) - empty) / len(names)
        key = f"fuseboard:{{{NAMESPACE}}}:breaker:{names[-1]}"
        self.record_bytes = float(cast("int", self.plain.memory_usage(key)))
        self._handle = Breaker(store).handle
        busy = names[:: max(1, len(names) // BUSY)]
        self.seconds(busy, REMEMBERED * len(busy))

    def seconds(self, names: list[str], calls: int) -> float:
        """Return the seconds that a decision takes."""
        self._number += calls
        return 1 / rate(self._handle, alerts_again(names, calls, self._number))

    def unseen(self, count: int) -> list[str]:
        """Return targets that no signal has been about yet."""
        step = len(self.names) // BUSY
        unseen = [self.names[number] for number in range(self._next_unseen, len(self.names)) if number % step]
        self._next_unseen += count + count // (step - 1) + 1
        return unseen[:count]


def used(plain: redis.Redis) -> int:
    """Return the bytes that a server uses."""
    return int(cast("dict[str, int]", plain.info("memory"))["used_memory"])
