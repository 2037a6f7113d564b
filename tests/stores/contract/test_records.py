"""Rows of breakers, in every store."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from fuseboard.breaker.evidence import Condition, Resolved
from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, State
from fuseboard.errors import Busy, NotEnrolled
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, becomes, due, one_more

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.stores import Store
    from fuseboard.stores.records import Change


def test_an_enrolled_breaker_is_closed(store: Store) -> None:
    """A breaker that has just come into the table is closed, and nothing is owed."""
    record = store.read(KEY)
    assert (record.policy, record.state, record.placement) == (policy(), BreakerState(), Placement())
    assert abs(record.now - time.time() * 1000) < 1_000
    assert due(store) == []


@pytest.mark.parametrize(
    "key", ["shop/other", "other/login", "shop", "", "/", "shop/login/x", "*/table", "shop}/login"]
)
def test_what_is_not_in_the_table_is_not_enrolled(store: Store, key: str) -> None:
    """Whatever a subject says, only breakers of the table are read and changed."""
    with pytest.raises(NotEnrolled):
        store.read(key)
    with pytest.raises(NotEnrolled):
        store.change(key, one_more)
    assert store.journal([key], 10) == []


def test_a_change_is_there_for_the_next_one(store: Store) -> None:
    """Every decision sees all that were made before."""
    assert [store.change(KEY, one_more).answer for _ in range(5)] == [1, 2, 3, 4, 5]
    assert store.read(KEY).state.epoch == 5


def test_only_those_that_hold_a_condition_are_found(empty: Store) -> None:
    """Of more breakers than fit into one look, and whatever else they remember."""
    empty.apply([policy(f"b{n}") for n in range(1_200)])
    now = empty.read("shop/b1").now
    held = {"0" * 32: Condition(cause="x", weight=3, since=now, seen=now)}
    assert empty.holding() == []
    for key in ("shop/b3", "shop/b999"):
        empty.change(key, becomes(BreakerState(state=State.LIMITED, epoch=1, conditions=held)))
    empty.change("shop/b4", becomes(BreakerState(reason='"conditions":{"a"', resolved={"a": Resolved(0, now)})))
    empty.change("shop/b5", becomes(BreakerState(conditions=held)))
    empty.change("shop/b5", becomes(BreakerState(epoch=1)))

    found = empty.holding()

    assert [(each.policy.key, each.state.conditions) for each in found] == [("shop/b3", held), ("shop/b999", held)]
    empty.apply([policy("b3")])
    assert [each.policy.key for each in empty.holding()] == ["shop/b3"]


def test_a_change_keeps_all_of_a_record(store: Store) -> None:
    """Breaker and placement are read as they were written."""
    breaker = BreakerState(state=State.OPEN, epoch=3, since=1, reason="…", cool_down=5, clock=2)
    placement = Placement(
        epoch=3, step=2, shares=Shares(0, 100), result=Result.FAILED, reason="no", tries=2, retry_at=9
    )
    change = store.change(KEY, becomes(breaker, placement))
    record = store.read(KEY)
    assert (record.state, record.placement) == (change.state, change.placement) == (breaker, placement)


@pytest.mark.parametrize("error", [Busy("later"), ValueError("a bug"), RecursionError("a worse one")])
def test_a_decision_that_raises_changes_nothing(store: Store, error: Exception) -> None:
    """What a decision raises comes out as it is, and the record, the journal and what is due are as before."""
    store.change(KEY, one_more)

    def refuse(_: Row) -> Change:
        raise error

    with pytest.raises(type(error)) as raised:
        store.change(KEY, refuse)
    assert raised.value is error
    assert store.read(KEY).state.epoch == 1
    assert store.journal([KEY], 10) == []
    assert store.change(KEY, one_more).answer == 2


def test_eight_threads_lose_no_change(store: Store) -> None:
    """Threads that change one breaker at once all succeed, and none overwrites another."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: store.change(KEY, one_more).answer, range(400)))
    assert sorted(answers) == list(range(1, 401))  # type: ignore[type-var]
    assert store.read(KEY).state.epoch == 400


def test_a_decision_that_raises_harms_no_other(store: Store) -> None:
    """Among threads that change one breaker at once, an error reaches the one whose decision raised it."""

    def decide(number: int) -> object:
        def refuse(_: Row) -> Change:
            raise ValueError(number)

        if number % 3:
            return store.change(KEY, one_more).answer
        with pytest.raises(ValueError, match=f"^{number}$"):
            store.change(KEY, refuse)
        return None

    with ThreadPoolExecutor(8) as pool:
        answers = [each for each in pool.map(decide, range(300)) if each is not None]
    assert len(answers) == store.read(KEY).state.epoch == 200


def test_a_store_that_answers_is_fine(store: Store) -> None:
    """The check of a store that can be used raises nothing."""
    store.check()
