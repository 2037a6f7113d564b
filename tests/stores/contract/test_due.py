"""Due entries, in every store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.breaker.placement import Placement, Result
from fuseboard.breaker.state import BreakerState, State
from fuseboard.stores.records import DEBT, TIMER
from fuseboard.testing.memory import next_attempt
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, MOVED, becomes, cooling, due

if TYPE_CHECKING:
    from fuseboard.stores import Store


def test_what_is_due_comes_when_it_is_due(store: Store) -> None:
    """The end of a cool-down is due when it has come, and not before."""
    store.change(KEY, cooling(150))
    assert due(store) == []
    time.sleep(0.15)
    now, found = store.take_due(10)
    assert [(each.key, each.kind, each.attempt) for each in found] == [(KEY, TIMER, 0)]
    assert 0 <= now - found[0].at < 1_000


def test_what_was_taken_is_put_off(store: Store) -> None:
    """What is due comes once, and again only after a while: somebody is at it."""
    store.change(KEY, cooling(1))
    assert due(store) == [(KEY, TIMER)]
    assert due(store) == []


def test_a_change_that_waits_for_the_same_leaves_it_put_off(store: Store) -> None:
    """A decision that settles nothing does not make what was taken due once more."""
    store.change(KEY, cooling(1))
    assert due(store) == [(KEY, TIMER)]
    store.change(KEY, becomes())
    assert due(store) == []


def test_a_change_moves_what_is_due(store: Store) -> None:
    """A decision that waits for another moment sets that one."""
    store.change(KEY, cooling(60_000))
    store.change(KEY, cooling(1))
    assert due(store) == [(KEY, TIMER)]
    store.change(KEY, cooling(2))
    assert due(store) == [(KEY, TIMER)]


def test_a_timer_that_would_come_later_is_left_alone(store: Store) -> None:
    """A timer is not put off: it comes, finds nothing to do, and is then set to the right time."""
    store.change(KEY, cooling(100))
    store.change(KEY, cooling(60_000))
    time.sleep(0.1)
    assert due(store) == [(KEY, TIMER)]
    store.change(KEY, becomes())
    time.sleep(0.02)
    assert due(store) == []


def test_a_change_clears_what_is_due(store: Store) -> None:
    """A decision that waits for nothing leaves nothing due."""
    store.change(KEY, cooling(1))
    store.change(KEY, becomes(BreakerState(), Placement()))
    assert due(store) == []


def test_a_debt_is_due_until_it_is_paid(store: Store) -> None:
    """A transition without its placement is due; the placement of its epoch clears it."""
    indebted = BreakerState(state=State.OPEN, epoch=1, since=1, clock=2, cool_down=10**14)
    store.change(KEY, becomes(indebted))
    assert due(store) == [(KEY, DEBT)]
    store.change(KEY, becomes(indebted, replace(MOVED, epoch=1, result=Result.VERIFIED)))
    assert due(store) == []


def test_no_more_than_the_limit_is_taken(empty: Store) -> None:
    """What is over the limit is left for the next look, across namespaces."""
    policies = [policy(f"w{number}", namespace) for number in range(3) for namespace in ("a", "b")]
    empty.apply(policies)
    for each in policies:
        empty.change(each.key, cooling(1))
    taken = [due(empty, 4), due(empty, 4), due(empty, 4)]
    assert [len(each) for each in taken] == [4, 2, 0]
    assert {key for each in taken for key, _ in each} == {each.key for each in policies}


def test_the_pace_slows_down() -> None:
    """What nobody settles comes again after 5, 10, 20, 40 s, then every minute, for ever."""
    assert [next_attempt(0, attempt) // 1000 for attempt in (0, 1, 2, 3, 4, 5, 5_000)] == [5, 10, 20, 40, 60, 60, 60]
