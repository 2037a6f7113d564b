"""The journal, in every store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from fuseboard.stores.records import JOURNAL_CAP, Entry
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, becomes

if TYPE_CHECKING:
    from fuseboard.stores import Store


def test_the_journal_is_newest_first(store: Store) -> None:
    """The last entries of some breakers come in reverse order, as many as are asked for."""
    store.apply([policy(), policy("cart")])
    for number in range(3):
        store.change(
            KEY, becomes(None, None, Entry(kind="step", epoch=10 + number), Entry(kind="intent", epoch=20 + number))
        )
        time.sleep(0.002)  # entries of two breakers within a millisecond have no order
        store.change("shop/cart", becomes(None, None, Entry(kind="step", epoch=30 + number)))
        time.sleep(0.002)
    assert [entry.epoch for entry in store.journal([KEY], 4)] == [22, 12, 21, 11]
    assert [entry.epoch for entry in store.journal([KEY, "shop/cart"], 3)] == [32, 22, 12]
    assert store.journal([], 3) == []


def test_an_entry_says_whose_it_is_and_when(store: Store) -> None:
    """An entry carries its breaker, the store's time, and what the decision put in."""
    store.change(KEY, becomes(None, None, Entry(kind="step", event="/s 1", reason="why", signal={"a": [1]}, time=5)))
    (entry,) = store.journal([KEY], 10)
    assert (entry.breaker, entry.event, entry.reason, entry.time) == (KEY, "/s 1", "why", 5)
    assert msgspec.to_builtins(entry.signal) == {"a": [1]}
    assert abs(entry.now - time.time() * 1000) < 5_000
    assert entry.id


def test_the_journal_is_capped(store: Store) -> None:
    """A journal does not grow for ever; it keeps at least as many entries as it promises."""
    entries = [Entry(kind="step", epoch=number) for number in range(JOURNAL_CAP // 2)]
    for _ in range(4):
        store.change(KEY, becomes(None, None, *entries))
    kept = len(store.journal([KEY], 10 * JOURNAL_CAP))
    assert JOURNAL_CAP <= kept <= 1.2 * JOURNAL_CAP
