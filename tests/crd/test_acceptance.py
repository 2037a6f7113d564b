"""What resources make of the table: by example, and for any sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.crd.acceptance import ACCEPTED, CIRCULAR, INVALID, TAKEN, AcceptedPolicies, acceptance_patch
from fuseboard.crd.resource import read_resource
from fuseboard.policy.validation import check_table, claims
from fuseboard.testing.objects import circuit_breaker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.crd.resource import Resource
    from fuseboard.policy.spec import Policy

Step = tuple[str, int, str, tuple[str, ...]]


def breaker(
    name: str,
    target: str = "",
    *,
    at: int = 0,
    generation: int = 1,
    **metadata: Any,  # noqa: ANN401  - any field
) -> Resource:
    """Return a resource of this name, written at this second, on this target."""
    spec: dict[str, Any] = {"target": {"name": target or name}}
    for field in ("dependsOn", "trip"):
        if field in metadata:
            spec[field] = metadata.pop(field)
    created = f"2026-01-01T00:00:{at:02}Z"
    found = {"name": name, "uid": f"{name}-{at}", "generation": generation, "creationTimestamp": created, **metadata}
    return read_resource(circuit_breaker(spec, **found))


class Board:
    """A table, and a mirror in front of it."""

    def __init__(self, table: Mapping[str, Policy] | None = None) -> None:
        self.table = dict(table or {})
        self.mirror = AcceptedPolicies()
        self.reasons: dict[str, str] = {}

    def see(self, *found: Resource) -> list[str]:
        """Take resources in and do what follows; return the names that were put."""
        for each in found:
            self.mirror.changed(each)
        return self.decide()

    def decide(self) -> list[str]:
        """Do what follows now."""
        decision = self.mirror.decide(self.table)
        self.table |= {policy.key: policy for policy in decision.put}
        self.mirror.settle(decision)
        self.reasons |= {key.partition("/")[2]: verdict.reason for key, verdict in decision.acceptances.items()}
        return sorted(policy.metadata.name for policy in decision.put)


def test_what_is_valid_is_put_once() -> None:
    """A new resource and an edit are put; what is seen again is not."""
    board = Board()
    assert board.see(breaker("a"), breaker("b")) == ["a", "b"]
    assert board.see(breaker("a")) == []
    assert board.see(breaker("a", trip={"limitAt": 5}, generation=2)) == ["a"]
    assert board.table["shop/a"].spec.trip.limit_at == 5


def test_an_edit_that_is_no_policy_leaves_the_last_one() -> None:
    """Nothing is put, and the verdict says that the last one stays; of one that never was valid, that there is none."""
    board = Board()
    board.see(breaker("a"))
    before = dict(board.table)
    board.mirror.changed(breaker("a", trip={"limitAt": 99}, generation=2))
    board.mirror.changed(breaker("b", trip={"limitAt": 99}))
    verdicts = board.mirror.decide(board.table).acceptances
    assert board.decide() == []
    assert board.table == before
    assert verdicts["shop/a"].reason == verdicts["shop/b"].reason == INVALID
    assert "the last valid policy stays in force" in verdicts["shop/a"].message
    assert "it has no policy in force" in verdicts["shop/b"].message


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_of_two_that_come_together_the_older_has_the_target(order: tuple[str, str]) -> None:
    """Whichever is seen first."""
    both = {"old": breaker("z", "login", at=1), "new": breaker("a", "login", at=2)}
    board = Board()
    assert board.see(*(both[each] for each in order)) == ["z"]
    assert board.reasons == {"z": ACCEPTED, "a": TAKEN}


def test_of_two_of_the_same_second_the_first_by_name_has_it() -> None:
    """So that all watchers choose alike."""
    board = Board()
    board.see(breaker("b", "login"), breaker("a", "login"))
    assert board.reasons == {"a": ACCEPTED, "b": TAKEN}


def test_a_route_has_one_breaker_too() -> None:
    """Two targets behind one Service would turn it one against the other."""
    specs = (
        {"target": {"name": name}, "standby": {"name": f"{name}-s"}, "route": {"name": "web"}} for name in ("a", "b")
    )
    board = Board()
    board.see(*(read_resource(circuit_breaker(spec, name=spec["target"]["name"])) for spec in specs))
    assert board.reasons == {"a": ACCEPTED, "b": TAKEN}


def test_no_edit_takes_what_is_in_force_from_another() -> None:
    """An older resource that is edited onto another's target is refused: that one may have moved traffic."""
    board = Board()
    board.see(breaker("old", at=1), breaker("new", at=2))
    assert board.see(breaker("old", "new", at=1, generation=2)) == []
    assert board.reasons["old"] == TAKEN
    assert board.table["shop/old"].spec.target.name == "old"


def test_who_waits_has_its_turn_when_the_target_is_free() -> None:
    """By an edit of who has it, or by its end."""
    board = Board()
    board.see(breaker("a", "login", at=1), breaker("b", "login", at=2), breaker("c", "login", at=3))
    assert board.see(breaker("a", "other", at=1, generation=2)) == ["a", "b"]
    board.mirror.gone("shop/b")
    assert board.decide() == []  # its row is still there: its traffic may be moved
    del board.table["shop/b"]
    assert board.decide() == ["c"]


def test_the_dependency_that_closes_a_circle_is_refused() -> None:
    """What was there before stays; the way is told; without it there is no circle."""
    board = Board()
    board.see(breaker("a", dependsOn=["b"]), breaker("b", dependsOn=["c"]), breaker("c"))
    board.mirror.changed(breaker("c", dependsOn=["a"], generation=2))
    verdict = board.mirror.decide(board.table).acceptances["shop/c"]
    assert verdict.reason == CIRCULAR
    assert "shop/c → shop/a → shop/b → shop/c" in verdict.message
    assert board.see(breaker("c", dependsOn=["d"], generation=3)) == ["c"]


def test_a_dependency_that_many_share_is_no_circle() -> None:
    """Two ways to one breaker lead forward both."""
    sides = [breaker(each, dependsOn=["d"]) for each in ("b", "c")]
    assert Board().see(breaker("a", dependsOn=["b", "c"]), *sides, breaker("d")) == ["a", "b", "c", "d"]


def test_a_table_that_was_lost_is_put_back() -> None:
    """All that is known is put again."""
    board = Board()
    board.see(breaker("a"), breaker("b"))
    board.table = {}
    assert board.decide() == ["a", "b"]


def test_what_another_watcher_has_put_is_left_alone() -> None:
    """A row that differs may be newer than what this watcher has heard: it is not put back."""
    board = Board()
    board.see(breaker("a"), breaker("b"))
    newer = breaker("a", trip={"limitAt": 5}, generation=2)
    assert newer.policy is not None
    board.table["shop/a"] = newer.policy
    assert board.see(breaker("b", trip={"limitAt": 4}, generation=2)) == ["b"]
    assert board.see(newer) == []


def test_a_status_alone_is_nothing_to_judge() -> None:
    """What a watcher itself has written does not make it look again."""
    board = Board()
    board.see(breaker("a"))
    board.mirror.changed(breaker("a", resourceVersion="8"))
    assert board.mirror.decide(board.table).acceptances == {}


def test_an_edit_that_changes_no_policy_is_judged() -> None:
    """The status must say that this generation was seen."""
    board = Board()
    board.see(breaker("a"))
    board.mirror.changed(breaker("a", generation=2))
    decision = board.mirror.decide(board.table)
    assert (list(decision.acceptances), decision.put) == (["shop/a"], ())


def test_rows_without_a_resource_are_known() -> None:
    """Those are on their way out."""
    board = Board()
    board.see(breaker("a"), breaker("b"))
    board.mirror.listed([breaker("b")])
    assert board.mirror.orphans(board.table) == {"shop/a"}


def test_what_is_deleted_and_held_is_waited_for() -> None:
    """One that is being deleted without our finalizer is not ours to wait for."""
    gone: dict[str, Any] = {"deletionTimestamp": "2026-01-01T00:01:00Z"}
    mirror = AcceptedPolicies()
    mirror.changed(breaker("a", finalizers=["fuseboard.dev/placement"], **gone))
    mirror.changed(breaker("b", finalizers=["x/y"], **gone))
    mirror.changed(breaker("c", finalizers=["fuseboard.dev/placement"]))
    assert [each.key for each in mirror.deleted()] == ["shop/a"]
    mirror.gone("shop/a")
    assert mirror.deleted() == []


def test_the_status_says_the_verdict_once() -> None:
    """What it says already is not said again; a new generation is."""
    board = Board()
    found = breaker("a")
    board.mirror.changed(found)
    verdict = board.mirror.decide({}).acceptances["shop/a"]
    body = acceptance_patch(found, verdict, 5_000)
    assert body is not None
    (condition,) = body["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["observedGeneration"]) == ("Accepted", "True", 1)
    spec = {"target": {"name": "a"}}
    said = read_resource(circuit_breaker(spec, name="a", status=body["status"]))
    assert acceptance_patch(said, verdict, 9_000) is None
    assert (
        acceptance_patch(
            read_resource(circuit_breaker(spec, name="a", status=body["status"], generation=2)), verdict, 9_000
        )
        is not None
    )


NAMES = ("a", "b", "c")
STEPS = st.tuples(
    st.sampled_from(NAMES),
    st.integers(0, 2),
    st.sampled_from(["a", "b", "invalid", "gone"]),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple),
)


def written(step: Step, number: int) -> Resource | None:
    """Return what one step writes; None where it deletes."""
    name, at, target, depends = step
    if target == "gone":
        return None
    trip = {"limitAt": 99 if target == "invalid" else 3}
    others = [each for each in depends if each != name]
    return breaker(name, target, at=at, generation=number, dependsOn=others, trip=trip)


def take(board: Board, step: Step, number: int) -> None:
    """Let a watcher see one step."""
    found, key = written(step, number), f"shop/{step[0]}"
    if found is None:
        board.mirror.gone(key)
    else:
        board.mirror.changed(found)


@given(st.lists(STEPS, max_size=12))
def test_whatever_is_written_the_table_is_one_that_can_be(steps: list[Step]) -> None:
    """No two breakers share a target, none leads back to itself, and only what is accepted changes a row."""
    board = Board()
    for number, step in enumerate(steps, 1):
        take(board, step, number)
        if step[2] == "gone":
            board.table.pop(f"shop/{step[0]}", None)
        before = dict(board.table)
        put = board.decide()
        check_table(list(board.table.values()))
        assert {key for key in board.table if board.table[key] != before.get(key)} == {f"shop/{name}" for name in put}
        assert all(board.reasons[name] == ACCEPTED for name in put)
        for key, found in board.mirror.resources.items():
            if board.reasons[key.partition("/")[2]] == ACCEPTED:
                assert board.table[key] == found.policy
        assert board.decide() == []


@given(st.lists(STEPS, max_size=10), st.lists(st.booleans(), min_size=40, max_size=40))
def test_two_watchers_come_to_rest(steps: list[Step], turns: list[bool]) -> None:
    """However one lags behind the other: when both have seen all, neither changes anything more."""
    one, two = Board(), Board()
    two.table = one.table  # one store
    boards, seen, order = (one, two), [0, 0], [*turns, *([True, False] * len(steps))]
    for turn in order:
        board, done = boards[turn], seen[turn]
        if done == len(steps):
            continue
        step = steps[done]
        take(board, step, done + 1)
        if step[2] == "gone":
            one.table.pop(f"shop/{step[0]}", None)
        seen[turn] += 1
        decision = board.mirror.decide(one.table)
        one.table |= {policy.key: policy for policy in decision.put}
        board.mirror.settle(decision)
    for _ in NAMES:
        for board in boards:
            decision = board.mirror.decide(one.table)
            one.table |= {policy.key: policy for policy in decision.put}
            board.mirror.settle(decision)
    check_table(list(one.table.values()))
    assert not any(board.mirror.decide(one.table).put for board in boards)
    owners = [claim for policy in one.table.values() for claim in claims(policy)]
    assert len(owners) == len(set(owners))
