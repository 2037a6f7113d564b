"""The breaker table, in every store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.breaker.row import Row
from fuseboard.breaker.state import State
from fuseboard.errors import NotEnrolled
from fuseboard.stores.records import TIMER
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, becomes, cooling, due, one_more

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Store

NAMES: Final = st.sampled_from(["a", "b", "c"])
EDITS: Final = st.lists(st.tuples(NAMES, st.integers(1, 3)), max_size=3, unique_by=lambda each: each[0])


def test_the_table_is_what_was_applied_last(empty: Store) -> None:
    """Applying policies makes them the whole table."""
    assert empty.table() == {}
    empty.apply([policy("a"), policy("b")])
    assert empty.table() == {"shop/a": policy("a"), "shop/b": policy("b")}
    empty.apply([policy("b"), policy("c", "web")])
    assert empty.table() == {"shop/b": policy("b"), "web/c": policy("c", "web")}
    empty.apply([])
    assert empty.table() == {}


def test_the_same_policies_again_change_nothing(store: Store) -> None:
    """Applying what is there already leaves no trace: every start does it."""
    store.change(KEY, cooling(60_000))
    store.apply([policy()])
    assert store.journal([KEY], 10) == []
    assert due(store) == []
    assert store.change(KEY, one_more).answer == 2


def test_an_edit_keeps_the_state(store: Store) -> None:
    """A new policy is in force at the next decision, and the breaker is where it was."""
    store.change(KEY, cooling(60_000))
    edited = policy(trip={"limitAt": 5})
    assert store.apply([edited]) == ()
    seen = store.change(KEY, lambda record: replace(becomes()(record), answer=record)).answer
    assert isinstance(seen, Row)
    assert (seen.policy, seen.state.state) == (edited, State.OPEN)
    assert [entry.kind for entry in store.journal([KEY], 10)] == ["policy"]


def test_an_edit_is_due_at_once(store: Store) -> None:
    """After an edit the clock wakes the breaker, whatever it waited for; a decision settles that."""
    store.change(KEY, cooling(60_000))
    store.apply([policy(trip={"limitAt": 5})])
    assert due(store) == [(KEY, TIMER)]
    store.change(KEY, becomes())
    assert due(store) == []


def test_an_edit_of_a_breaker_that_never_decided_is_due_too(store: Store) -> None:
    """A record begins when it comes into the table: from then on an edit is an edit."""
    store.apply([policy(trip={"limitAt": 5})])
    assert due(store) == [(KEY, TIMER)]
    assert [entry.kind for entry in store.journal([KEY], 10)] == ["policy"]


def test_a_breaker_that_leaves_is_not_enrolled(store: Store) -> None:
    """A breaker that was taken from the table is neither read, changed nor waited for; its neighbours stay."""
    store.apply([policy(), policy("cart")])
    store.change(KEY, cooling(1))
    assert store.apply([policy("cart")]) == (KEY,)
    with pytest.raises(NotEnrolled):
        store.read(KEY)
    with pytest.raises(NotEnrolled):
        store.change(KEY, one_more)
    assert due(store) == []
    assert store.change("shop/cart", one_more).answer == 1


def test_only_breakers_with_moved_traffic_are_told(store: Store) -> None:
    """Who leaves the table while its target serves needs no look."""
    store.change(KEY, one_more)
    assert store.apply([]) == ()


def test_a_breaker_that_comes_back_is_where_it_was(store: Store) -> None:
    """Its state outlives its absence from the table: taking it out and in again is no reset."""
    store.change(KEY, cooling(1))
    store.apply([])
    store.apply([policy()])
    assert store.read(KEY).state.state is State.OPEN
    assert due(store) == [(KEY, TIMER)]


def test_put_adds_and_edits_and_leaves_the_others_alone(store: Store) -> None:
    """One edit is one row: the others are as they were, and so is what they wait for."""
    store.put([policy("cart")])
    store.change("shop/cart", cooling(60_000))
    edited = policy(trip={"limitAt": 5})
    store.put([edited])
    assert store.table() == {KEY: edited, "shop/cart": policy("cart")}
    assert store.read(KEY).policy == edited
    assert due(store) == [(KEY, TIMER)]
    assert store.journal(["shop/cart"], 10) == []


def test_put_of_what_is_there_changes_nothing(store: Store) -> None:
    """Two watchers that see the same edit: the second leaves no trace, and nobody has to read the table again."""
    store.change(KEY, cooling(60_000))
    before = store.table()
    store.put([policy()])
    store.put([])
    assert store.table() is before
    assert store.journal([KEY], 10) == []
    assert due(store) == []


def test_remove_takes_these_and_no_others(store: Store) -> None:
    """A breaker that is removed is neither read nor waited for; what is not there is removed already."""
    store.put([policy("cart"), policy("login", "web")])
    store.change(KEY, cooling(1))
    assert store.remove([KEY, "shop/nobody"]) == (KEY,)
    assert set(store.table()) == {"shop/cart", "web/login"}
    with pytest.raises(NotEnrolled):
        store.read(KEY)
    assert due(store) == []
    assert store.remove([KEY]) == store.remove([]) == ()


def test_what_is_left_of_a_namespace_is_still_waited_for(store: Store) -> None:
    """A namespace's last breaker goes, another namespace's stays; the first comes back and is waited for again."""
    store.put([policy("login", "web")])
    store.change("web/login", cooling(1))
    store.remove([KEY])
    assert due(store) == [("web/login", TIMER)]
    store.put([policy()])
    store.change(KEY, cooling(1))
    assert due(store) == [(KEY, TIMER)]


@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["apply", "put", "remove"]), EDITS), max_size=6))
def test_whatever_is_put_and_removed_the_table_is_a_dictionary(
    empty: Store, doings: list[tuple[str, list[tuple[str, int]]]]
) -> None:
    """After any edits, table and records hold the same policies: those of a plain dictionary."""
    empty.apply([])
    wanted: dict[str, Policy] = {}
    for verb, edits in doings:
        policies = {f"shop/{name}": policy(name, trip={"limitAt": at}) for name, at in edits}
        if verb == "remove":
            empty.remove(policies)
            wanted = {key: found for key, found in wanted.items() if key not in policies}
        else:
            getattr(empty, verb)(list(policies.values()))
            wanted = (wanted if verb == "put" else {}) | policies
        assert empty.table() == {key: empty.read(key).policy for key in wanted} == wanted
