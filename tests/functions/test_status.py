"""Statuses and Events: what the record says, once, and to nobody where there is nobody."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from functions.status import Status
from fuseboard.breaker.placement import Placement, Shares
from fuseboard.breaker.state import State
from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.crd.resource import FINALIZER, resource_path
from fuseboard.crd.writer import MAX_CONFLICTS
from fuseboard.errors import ClusterUnavailable, NotEnrolled, Refused
from fuseboard.events.event import Event
from fuseboard.events.types import BreakerOpened, FailoverCompleted, type_of
from fuseboard.stores.records import Change
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.memory_cluster import MemoryCluster
from fuseboard.testing.policies import policy
from fuseboard.testing.policies import policy as named

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.breaker.row import Row

KEY = "shop/login"
PATH = resource_path(KEY)
TARGET = "/apis/apps/v1/namespaces/shop/deployments/login"
EVENTS = "/api/v1/namespaces/shop/events"
AWAY = Shares(target=0, standby=100)


class Board:
    """A breaker in a store, its CircuitBreaker and target on a shelf, and the function."""

    def __init__(self) -> None:
        self.now, self.shelf = 1_700_000_000_000, MemoryCluster()
        self.store = MemoryStore(lambda: self.now)
        self.store.put([policy(mode="Enforce")])
        self.shelf.put(PATH, {"spec": {}})
        self.shelf.put(TARGET, {"metadata": {"uid": "target's uid"}})
        self.function = Status(self.store, self.shelf)

    def move(self, state: State = State.OPEN, shares: Shares | None = None, key: str = KEY) -> Event:
        """Move a breaker, and perhaps its traffic; return what is told of it."""

        def decide(record: Row) -> Change:
            epoch = record.state.epoch + 1
            breaker = replace(record.state, state=state, epoch=epoch, since=record.now, reason="a test")
            placement = record.placement
            if shares is not None:
                placement = Placement(epoch=epoch, step=1, shares=shares, verified_at=record.now)
            return Change(breaker, placement)

        breaker = self.store.change(key, decide).state
        data = BreakerOpened(
            state=breaker.state, previous="CLOSED", epoch=breaker.epoch, mode="Enforce", since=self.now, reason="a test"
        )
        return Event(id=str(breaker.epoch), source="/fuseboard", subject=key, data=data)

    @property
    def status(self) -> dict[str, Any]:
        """The status as it stands on the shelf."""
        found: dict[str, Any] = self.shelf.objects[PATH].get("status", {})
        return found

    @property
    def told(self) -> list[dict[str, Any]]:
        """The Events that were created."""
        return [found for path, found in self.shelf.objects.items() if path.startswith(EVENTS)]


@pytest.fixture
def board() -> Board:
    """Return a closed breaker, of which nothing was said."""
    return Board()


def done(key: str = KEY) -> Event:
    """Return what is told of a step."""
    data = FailoverCompleted(epoch=1, step=1, result="verified", reason="", shares={})
    return Event(id="done", source="/fuseboard", subject=key, data=data)


def raises(error: Exception, when: str) -> Callable[[str], None]:
    """Return what raises an error whenever something is done to a path that has this in it."""

    def check(what: str) -> None:
        if when in what:
            raise error

    return check


def test_a_transition_is_said_on_both(board: Board) -> None:
    """The status of the CircuitBreaker, and one Event on the target, with its uid."""
    board.function.handle(board.move())

    assert (board.status["state"], board.status["epoch"]) == ("OPEN", 1)
    (event,) = board.told
    assert event["involvedObject"]["uid"] == "target's uid"


def test_a_duplicate_says_nothing_again(board: Board) -> None:
    """Neither on the status nor by an Event."""
    event = board.move()
    board.function.handle(event)
    before = list(board.shelf.writes)
    board.function.handle(event)
    assert board.shelf.writes == before


def test_what_comes_late_says_what_is(board: Board) -> None:
    """The record is read again: an event of two transitions ago does not bring its state back."""
    late = board.move(State.OPEN)
    board.function.handle(board.move(State.CLOSED))
    board.function.handle(late)
    assert (board.status["state"], board.status["epoch"]) == ("CLOSED", 2)
    assert len(board.told) == 2


def test_a_transition_that_has_not_been_is_no_event(board: Board) -> None:
    """An event that is ahead of the record is forged, or its record is lost: nobody is told of it."""
    event = board.move()
    forged = replace(event, data=replace(event.data, epoch=7))
    board.function.handle(forged)
    assert board.told == []
    assert board.status["epoch"] == 1


def test_without_a_resource_there_is_nobody_to_tell(board: Board) -> None:
    """The table is a file: the target gets its Event, and that is all."""
    del board.shelf.objects[PATH]
    board.function.handle(board.move())
    assert board.shelf.writes == [f"create {EVENTS}"]


def test_a_target_that_is_gone_has_an_event_all_the_same(board: Board) -> None:
    """By its name, since it has no uid."""
    del board.shelf.objects[TARGET]
    board.function.handle(board.move())
    assert "uid" not in board.told[0]["involvedObject"]


def test_a_rehearsal_tells_nobody(board: Board) -> None:
    """Without a cluster nothing is read and nothing is written."""
    rehearsing = dataclasses.replace(board.function, cluster=Rehearsal())
    assert rehearsing.handle(board.move()) is None  # type: ignore[func-returns-value]


def test_who_is_not_in_the_table_is_told_of_as_such(board: Board) -> None:
    """The event is answered 202 by whoever serves the function."""
    with pytest.raises(NotEnrolled):
        board.function.handle(done("shop/nobody"))


def test_a_step_is_said_without_an_event(board: Board) -> None:
    """Who serves is in the status; only transitions are Events."""
    board.move(shares=AWAY)
    board.function.handle(done())
    assert board.status["serving"] == "standby 100 %"
    assert board.told == []


def test_the_resource_is_held_while_its_traffic_is_moved(board: Board) -> None:
    """The finalizer comes with the move and goes with the return; without a move there is none."""
    board.function.handle(board.move())
    assert FINALIZER not in board.shelf.objects[PATH]["metadata"].get("finalizers", ())
    board.function.handle(board.move(shares=AWAY))
    assert board.shelf.objects[PATH]["metadata"]["finalizers"] == [FINALIZER]
    board.function.handle(board.move(State.CLOSED, shares=Shares()))
    assert board.shelf.objects[PATH]["metadata"]["finalizers"] == []


def test_a_resource_that_is_being_deleted_goes_with_the_return(board: Board) -> None:
    """The one who takes the finalizer off need not be the watcher."""
    board.function.handle(board.move(shares=AWAY))
    board.shelf.objects[PATH]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    board.function.handle(board.move(State.CLOSED, shares=Shares()))
    assert PATH not in board.shelf.objects


def test_what_changes_in_between_is_read_again(board: Board) -> None:
    """Row and resource: what is written is of the moment, and on the version that was read."""
    changes = [1, 2]

    def meddle(what: str) -> None:
        if what.startswith("apply") and changes:
            changes.pop()
            board.move(State.CLOSED)
            board.shelf.put(PATH, {**board.shelf.objects[PATH], "spec": {"changed": len(changes)}})

    board.shelf.before = meddle
    board.function.handle(board.move())
    assert (board.status["epoch"], board.status["state"]) == (3, "CLOSED")


def test_what_never_stands_still_is_left_for_later(board: Board) -> None:
    """After some tries the event is to be sent again."""

    def meddle(what: str) -> None:
        if what.startswith("apply"):
            board.shelf.put(PATH, board.shelf.objects[PATH])

    board.shelf.before = meddle
    with pytest.raises(ClusterUnavailable, match=f"{MAX_CONFLICTS} times"):
        board.function.handle(board.move())


@pytest.mark.parametrize("refused", ["create", "apply", "get"])
def test_what_the_cluster_refuses_is_logged_and_left(board: Board, refused: str) -> None:
    """A namespace that is not enrolled: sent again, the event would be refused again."""
    board.shelf.before = raises(Refused("403 forbidden"), refused)
    with capture_logs() as lines:
        board.function.handle(board.move())
    assert "status.refused" in {each["event"] for each in lines}
    if refused == "create":
        assert board.status["state"] == "OPEN"


def test_a_cluster_that_does_not_answer_is_asked_later(board: Board) -> None:
    """The event is sent again; then the Event is there already, and the status is said."""
    event = board.move()
    board.shelf.before = raises(ClusterUnavailable("away"), "apply")
    with pytest.raises(ClusterUnavailable):
        board.function.handle(event)
    board.shelf.before = lambda _: None
    board.function.handle(event)
    assert (len(board.told), board.status["state"]) == (1, "OPEN")


def test_who_depends_on_it_is_told_of_it_too(board: Board) -> None:
    """The status of a breaker says that its dependency is open, and that it is so no longer; others are left alone."""
    board.store.put([named("db"), named("web", dependsOn=["db"]), named("far", "other", dependsOn=["db"])])
    for key in ("shop/db", "shop/web", "other/far"):
        board.shelf.put(resource_path(key), {"spec": {}})

    def said() -> str:
        conditions = board.shelf.objects[resource_path("shop/web")]["status"]["conditions"]
        return next(str(each["status"]) for each in conditions if each["type"] == "DependencyOpen")

    board.function.handle(board.move(key="shop/db"))
    assert said() == "True"
    board.function.handle(board.move(State.CLOSED, key="shop/db"))
    assert said() == "False"
    assert "status" not in board.shelf.objects[resource_path("other/far")]
    assert "status" not in board.shelf.objects[PATH]


def test_it_is_ready_while_store_and_cluster_answer(board: Board) -> None:
    """And not while one of them does not."""
    board.function.check()
    board.shelf.before = raises(ClusterUnavailable("away"), "check")
    with pytest.raises(ClusterUnavailable):
        board.function.check()


def test_it_consumes_what_moves_and_answers_nothing() -> None:
    """The end of the way: nothing comes back from here."""
    assert type_of(BreakerOpened) in Status.consumes
    assert type_of(FailoverCompleted) in Status.consumes
    assert Status.emits == frozenset()
