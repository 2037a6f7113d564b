"""Which breakers' pods are asked: those that are open, found in time among however many there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fuseboard.errors import Refused
from fuseboard.testing.memory import MemoryStore, opened
from fuseboard.workloads.inventory import Inventory
from fuseboard.workloads.owners import OwnerResolver
from fuseboard.workloads.probe import Prober
from fuseboard.workloads.probe_rounds import READS_PER_ROUND, ProbeRounds
from fuseboard.workloads.readiness import Readiness
from tests.workloads.targets import policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.policy.spec import Policy


class Counting(MemoryStore):
    """A store that notes what is read of it."""

    def __init__(self) -> None:
        super().__init__(lambda: round(time.time() * 1000))
        self.reads: list[str] = []

    def read(self, key: str) -> Row:
        self.reads.append(key)
        return super().read(key)


def unread(path: str) -> Mapping[str, object]:
    """Read nothing."""
    raise Refused(path)


def rounds(count: int) -> tuple[Counting, ProbeRounds, Mapping[str, Policy]]:
    """Return so many breakers with a probe, and one without."""
    store, readiness = Counting(), Readiness(Inventory(OwnerResolver(unread)))
    probed = [policy(f"b{n}", f"t{n}", recover={"probe": {"http": "/"}}) for n in range(count)]
    store.apply([*probed, policy("plain", "plain")])
    table = store.table()
    readiness.set_table(table)
    return store, ProbeRounds(store, readiness, Prober()), table


def test_all_are_looked_up_soon_and_then_in_turns() -> None:
    """The first time without waiting; later no more at once than the store bears, and none twice before all."""
    store, found, table = rounds(2 * READS_PER_ROUND + 10)
    for _ in range(3):
        found.run_once(table)
    assert len(set(store.reads)) == len(store.reads) == 2 * READS_PER_ROUND + 10

    store.reads.clear()
    found.run_once(table)
    assert store.reads == []
    found.every_s = 0
    for _ in range(3):
        found.run_once(table)
    assert set(store.reads) == table.keys() - {"shop/plain"}


def test_one_that_is_open_is_looked_up_every_time() -> None:
    """However many others there are."""
    store, found, table = rounds(2 * READS_PER_ROUND)
    store.change("shop/b7", opened)
    for _ in range(3):
        found.run_once(table)
    found.every_s = 0
    store.reads.clear()
    for _ in range(4):
        found.run_once(table)

    assert store.reads.count("shop/b7") >= 4


def test_one_that_leaves_the_table_is_forgotten() -> None:
    """Open or not."""
    store, found, table = rounds(2)
    store.change("shop/b1", opened)
    found.run_once(table)
    found.run_once({key: each for key, each in table.items() if key != "shop/b1"})
    store.reads.clear()
    found.every_s = 0
    found.run_once({})

    assert store.reads == []
