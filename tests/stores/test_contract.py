"""What every store does: the same tests over the one in memory and the one in Valkey."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.errors import Busy, NotEnrolled
from fuseboard.evidence import Condition, Resolved
from fuseboard.placement import Placement, Result, Shares
from fuseboard.state import Breaker, State
from fuseboard.stores import DEBT, JOURNAL_CAP, TIMER, Change, Entry, Record
from fuseboard.stores.memory import MemoryStore
from fuseboard.stores.pacing import next_attempt
from fuseboard.stores.redis import open_store
from fuseboard.validation import parse

from .hammer import one_more

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.policy import Policy
    from fuseboard.stores import Store

KEY: Final = "shop/login"
MOVED: Final = Placement(shares=Shares(target=0, standby=100))


def policy(name: str = "login", namespace: str = "shop", **parts: Any) -> Policy:  # noqa: ANN401  - parts of a document
    """Return a policy with these parts of its spec."""
    spec = {"target": {"name": name}, **parts}
    metadata = {"name": name, "namespace": namespace}
    return parse(
        {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": metadata, "spec": spec}, ""
    )


@pytest.fixture(params=["memory", "redis"])
def empty(request: pytest.FixtureRequest) -> Store:
    """Return a store without a table."""
    if request.param == "memory":
        return MemoryStore(lambda: time.time_ns() // 1_000_000)
    return open_store(request.getfixturevalue("redis_url"))


@pytest.fixture
def store(empty: Store) -> Store:
    """Return a store with one breaker."""
    empty.apply([policy()])
    return empty


def becomes(
    breaker: Breaker | None = None, placement: Placement | None = None, *entries: Entry
) -> Callable[[Record], Change]:
    """Return a decision that makes this of a record."""
    return lambda record: Change(breaker or record.breaker, placement or record.placement, entries)


def cooling(cool_down: int) -> Callable[[Record], Change]:
    """Return a decision that opens the breaker for so many milliseconds, its placement paid."""

    def decide(record: Record) -> Change:
        now = record.now
        breaker = Breaker(state=State.OPEN, epoch=1, since=now, clock=now, cool_down=cool_down)
        return Change(breaker, replace(MOVED, epoch=1, result=Result.VERIFIED))

    return decide


def due(store: Store, limit: int = 10) -> list[tuple[str, str]]:
    """Take what is due now."""
    time.sleep(0.01)
    return sorted((each.key, each.kind) for each in store.take_due(limit)[1])


# -- records ---------------------------------------------------------------------------------------------------------


def test_an_enrolled_breaker_is_closed(store: Store) -> None:
    """A breaker that has just come into the table is closed, and nothing is owed."""
    before = time.time() * 1000
    record = store.read(KEY)
    assert (record.policy, record.breaker, record.placement) == (policy(), Breaker(), Placement())
    assert before - 1_000 < record.now < time.time() * 1000 + 1_000
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
    assert store.read(KEY).breaker.epoch == 5


def test_only_those_that_hold_a_condition_are_found(empty: Store) -> None:
    """Of more breakers than fit into one look, and whatever else they remember."""
    empty.apply([policy(f"b{n}") for n in range(1_200)])
    now = empty.read("shop/b1").now
    held = {"0" * 32: Condition(cause="x", weight=3, since=now, seen=now)}
    assert empty.holding() == []
    for key in ("shop/b3", "shop/b999"):
        empty.change(key, becomes(Breaker(state=State.LIMITED, epoch=1, conditions=held)))
    empty.change("shop/b4", becomes(Breaker(reason='"conditions":{"a"', resolved={"a": Resolved(0, now)})))
    empty.change("shop/b5", becomes(Breaker(conditions=held)))
    empty.change("shop/b5", becomes(Breaker(epoch=1)))

    found = empty.holding()

    assert [(each.policy.key, each.breaker.conditions) for each in found] == [("shop/b3", held), ("shop/b999", held)]
    empty.apply([policy("b3")])
    assert [each.policy.key for each in empty.holding()] == ["shop/b3"]


def test_a_change_keeps_all_of_a_record(store: Store) -> None:
    """Breaker and placement are read as they were written."""
    breaker = Breaker(state=State.OPEN, epoch=3, since=1, reason="…", cool_down=5, clock=2)
    placement = Placement(
        epoch=3, step=2, shares=Shares(0, 100), result=Result.FAILED, reason="no", tries=2, retry_at=9
    )
    change = store.change(KEY, becomes(breaker, placement))
    record = store.read(KEY)
    assert (record.breaker, record.placement) == (change.breaker, change.placement) == (breaker, placement)


@pytest.mark.parametrize("error", [Busy("later"), ValueError("a bug"), RecursionError("a worse one")])
def test_a_decision_that_raises_changes_nothing(store: Store, error: Exception) -> None:
    """What a decision raises comes out as it is, and the record, the journal and what is due are as before."""
    store.change(KEY, one_more)

    def refuse(_: Record) -> Change:
        raise error

    with pytest.raises(type(error)) as raised:
        store.change(KEY, refuse)
    assert raised.value is error
    assert store.read(KEY).breaker.epoch == 1
    assert store.journal([KEY], 10) == []
    assert store.change(KEY, one_more).answer == 2


def test_eight_threads_lose_no_change(store: Store) -> None:
    """Threads that change one breaker at once all succeed, and none overwrites another."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: store.change(KEY, one_more).answer, range(400)))
    assert sorted(answers) == list(range(1, 401))  # type: ignore[type-var]
    assert store.read(KEY).breaker.epoch == 400


def test_a_decision_that_raises_harms_no_other(store: Store) -> None:
    """Among threads that change one breaker at once, an error reaches the one whose decision raised it."""

    def decide(number: int) -> object:
        def refuse(_: Record) -> Change:
            raise ValueError(number)

        if number % 3:
            return store.change(KEY, one_more).answer
        with pytest.raises(ValueError, match=f"^{number}$"):
            store.change(KEY, refuse)
        return None

    with ThreadPoolExecutor(8) as pool:
        answers = [each for each in pool.map(decide, range(300)) if each is not None]
    assert len(answers) == store.read(KEY).breaker.epoch == 200


def test_a_store_that_answers_is_fine(store: Store) -> None:
    """The check of a store that can be used raises nothing."""
    store.check()


# -- the table -------------------------------------------------------------------------------------------------------


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
    assert isinstance(seen, Record)
    assert (seen.policy, seen.breaker.state) == (edited, State.OPEN)
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
    assert store.read(KEY).breaker.state is State.OPEN
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


NAMES: Final = st.sampled_from(["a", "b", "c"])
EDITS: Final = st.lists(st.tuples(NAMES, st.integers(1, 3)), max_size=3, unique_by=lambda each: each[0])


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


# -- what is due -----------------------------------------------------------------------------------------------------


def test_what_is_due_comes_when_it_is_due(store: Store) -> None:
    """The end of a cool-down is due when it has come, and not before."""
    store.change(KEY, cooling(500))
    assert due(store) == []
    time.sleep(0.5)
    now, found = store.take_due(10)
    assert [(each.key, each.kind, each.attempt) for each in found] == [(KEY, TIMER, 0)]
    assert found[0].at <= now


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
    store.change(KEY, becomes(Breaker(), Placement()))
    assert due(store) == []


def test_a_debt_is_due_until_it_is_paid(store: Store) -> None:
    """A transition without its placement is due; the placement of its epoch clears it."""
    indebted = Breaker(state=State.OPEN, epoch=1, since=1, clock=2, cool_down=10**14)
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


# -- the journal -----------------------------------------------------------------------------------------------------


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
