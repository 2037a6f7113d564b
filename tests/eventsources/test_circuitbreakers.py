"""The mirror's watcher: what it hears becomes the table, what is refused is said, and who goes is seen off."""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from eventsources.circuitbreakers import MANAGER, CircuitBreakers, new
from fuseboard.breaker.placement import Placement, Shares
from fuseboard.breaker.state import BreakerState, Override, State
from fuseboard.cluster.changes import Alive, Changed, Denied, Listed
from fuseboard.crd.deletion import DELETED_REASON
from fuseboard.crd.finalizer import ASK_AGAIN_S, GONE_AFTER_S
from fuseboard.crd.resource import FINALIZER, resource_path
from fuseboard.crd.writer import MANAGER as STATUS_MANAGER
from fuseboard.delivery.connections import Connections
from fuseboard.errors import ClusterUnavailable, Refused, StoreUnavailable, Unavailable
from fuseboard.events.types import Action, FailoverFailed, OperatorRequested
from fuseboard.settings import Settings
from fuseboard.stores.records import Change
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.memory_cluster import MemoryCluster
from fuseboard.testing.objects import circuit_breaker
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fuseboard.policy.spec import Policy

KEY = "shop/login"
PATH = resource_path(KEY)
SPACE = "/api/v1/namespaces/shop"
AWAY = Placement(epoch=1, step=1, shares=Shares(target=0, standby=100))


class Store(MemoryStore):
    """A store that may be away, and counts what is put."""

    def __init__(self) -> None:
        super().__init__(lambda: round(time.time() * 1000))
        self.away = False
        self.puts = 0

    def put(self, policies: Sequence[Policy]) -> None:
        if self.away:
            raise StoreUnavailable("nobody there")
        self.puts += 1
        super().put(policies)


class Board:
    """A watcher that is told what to hear, over a shelf of resources."""

    def __init__(self) -> None:
        self.store, self.box, self.shelf, self.stop = Store(), MemoryOutbox(), MemoryCluster(), Flag()
        self.stop.set()  # nothing waits here
        self.shelf.put(SPACE, {"metadata": {"name": "shop"}, "status": {"phase": "Active"}})
        self.release_after_s = 120.0
        self.start()

    def start(self) -> None:
        """Begin with a watcher that knows nothing."""
        cluster: Any = object()  # it is not watched: a test says what is heard
        self.watcher = CircuitBreakers(self.store, self.box, cluster, release_after_s=self.release_after_s)
        self.watcher.look_every_s = 0.001

    def write(self, name: str = "login", spec: Any = None, **metadata: Any) -> None:  # noqa: ANN401  - JSON
        """Put a resource on the shelf."""
        path = resource_path(f"shop/{name}")
        found = circuit_breaker(spec or {"target": {"name": name}}, name=name, **metadata)
        known = self.shelf.objects.get(path, {})
        self.shelf.put(path, found | ({"status": known["status"]} if "status" in known else {}))

    def relist(self) -> None:
        """Let the watcher hear all that is on the shelf, and act."""
        found = [each for path, each in self.shelf.objects.items() if "/circuitbreakers/" in path]
        self.hear(Listed(tuple(found), "1"))

    def hear(self, heard: Any) -> None:  # noqa: ANN401  - what a watch says
        """Let the watcher hear this, and act."""
        self.watcher._heard.put(heard, Flag())
        self.look()

    def look(self) -> None:
        """Let the watcher act."""
        self.watcher._departures._looked_at = float("-inf")
        self.watcher.look(self.shelf, self.stop)

    def gone_for(self, seconds: float) -> None:
        """Let time pass since a resource was found to be gone."""
        known = self.watcher._departures._gone_since
        self.watcher._departures._gone_since = {key: at - seconds for key, at in known.items()}

    def move(self, placement: Placement = AWAY, **parts: Any) -> None:  # noqa: ANN401  - parts of a breaker
        """Move the breaker's traffic."""
        breaker = replace(BreakerState(state=State.OPEN, epoch=1), **parts)
        self.store.change(KEY, lambda _: Change(breaker, placement))

    @property
    def accepted(self) -> dict[str, Any]:
        """The condition Accepted of the resource."""
        conditions = self.shelf.objects[PATH].get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == "Accepted"), {})

    @property
    def asked(self) -> list[Action]:
        """What was asked of the breaker."""
        return [each.data.action for each in self.box.events if isinstance(each.data, OperatorRequested)]


@pytest.fixture
def board() -> Board:
    """Return a watcher of nothing yet."""
    return Board()


def leaving(board: Board, **spec: Any) -> None:  # noqa: ANN401  - parts of a document
    """Mirror a breaker, move its traffic and delete its resource."""
    parts = {"target": {"name": "login"}, "mode": "Enforce", **spec}
    board.write(spec=parts)
    board.relist()
    board.move()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    board.write(spec=parts, finalizers=[FINALIZER], deletionTimestamp=stamp)
    board.relist()


def test_what_is_listed_is_the_table_and_is_told_once(board: Board) -> None:
    """Accepted by one field manager, the first status by another; the next look has nothing to write."""
    board.write()
    board.relist()
    assert set(board.store.table()) == {KEY}
    assert board.accepted["status"] == "True"
    assert board.shelf.objects[PATH]["status"]["state"] == "CLOSED"
    assert board.shelf.writes == [f"apply {MANAGER} {PATH}", f"apply {STATUS_MANAGER} {PATH}"]
    board.relist()
    board.look()
    assert len(board.shelf.writes) == 2
    assert board.store.puts == 1


def test_nothing_is_done_before_the_list(board: Board) -> None:
    """A row is not without a resource because nobody has looked yet."""
    board.store.apply([policy()])
    for _ in range(3):
        board.look()
        board.gone_for(GONE_AFTER_S)
    assert KEY in board.store.table()


def test_an_edit_that_is_no_policy_keeps_the_last_and_says_so(board: Board) -> None:
    """By what is heard, and after a restart by the row that is there."""
    board.write()
    board.relist()
    before = board.store.table()[KEY]
    board.write(spec={"target": {"name": "login"}, "trip": {"limitAt": 99}}, generation=2)
    board.hear(Changed("MODIFIED", board.shelf.objects[PATH], "2"))
    assert board.store.table()[KEY] == before
    assert (board.accepted["status"], board.accepted["reason"]) == ("False", "Invalid")
    assert board.accepted["observedGeneration"] == 2

    board.start()
    writes = len(board.shelf.writes)
    board.relist()
    assert board.store.table()[KEY] == before
    assert len(board.shelf.writes) == writes


def test_a_store_that_is_away_is_waited_for(board: Board) -> None:
    """What was heard is not lost, and nobody is told before it is so."""
    board.store.away = True
    board.write()
    board.relist()
    assert (dict(board.store.table()), board.accepted) == ({}, {})
    board.store.away = False
    board.relist()
    assert board.accepted["status"] == "True"


def test_a_store_that_is_away_loses_no_edit(board: Board) -> None:
    """Heard while the store was away, an edit is put when it is there again, though nothing is heard any more."""
    board.write()
    board.relist()
    board.look()
    board.store.away = True
    board.write(spec={"target": {"name": "login"}, "trip": {"limitAt": 5}}, generation=2)
    board.hear(Changed("MODIFIED", board.shelf.objects[PATH], "2"))
    board.store.away = False
    board.look()
    assert board.store.table()[KEY].spec.trip.limit_at == 5


def test_a_status_that_may_not_be_written_is_tried_later_and_stops_nobody(board: Board) -> None:
    """One namespace is not enrolled: the rows are there, the others' statuses too."""

    def refuse(what: str) -> None:
        if "apply" in what and "login" in what:
            raise Refused("403 forbidden")

    board.shelf.before = refuse
    board.write()
    board.write("cart")
    board.relist()
    assert set(board.store.table()) == {KEY, "shop/cart"}
    assert board.shelf.objects[resource_path("shop/cart")]["status"]["state"] == "CLOSED"
    board.shelf.before = lambda _: None
    board.look()
    assert board.accepted == {}  # not every half second
    board.watcher._untold = {key: (verdict, 0.0) for key, (verdict, _) in board.watcher._untold.items()}
    board.look()
    assert board.accepted["status"] == "True"


def test_a_cluster_that_is_away_is_told_again(board: Board) -> None:
    """A status that could not be written is written at the next look."""

    def away(what: str) -> None:
        if "apply" in what:
            raise ClusterUnavailable("away")

    board.shelf.before = away
    board.write()
    board.relist()
    board.shelf.before = lambda _: None
    board.look()
    assert board.accepted["status"] == "True"


def test_what_cannot_be_read_keeps_nobody_else_out(board: Board) -> None:
    """An object that is none is logged."""
    board.write()
    with capture_logs() as lines:
        board.hear(Listed(({"metadata": 1}, "x", board.shelf.objects[PATH]), "1"))
    assert set(board.store.table()) == {KEY}
    assert [each["event"] for each in lines].count("circuitbreakers.unreadable") == 2


def test_who_may_not_look_says_what_to_apply(board: Board) -> None:
    """The source is not ready until it may."""
    watcher = CircuitBreakers(board.store, board.box, object())  # type: ignore[arg-type]
    watcher._take(Denied("403 forbidden"))
    with pytest.raises(Unavailable, match=r"403 forbidden.*ClusterRole fuseboard-circuitbreakers"):
        watcher.check()
    watcher._take(Alive("1"))
    watcher.check()


# -- who goes --------------------------------------------------------------------------------------------------------


def test_a_row_whose_resource_is_gone_goes_after_a_moment(board: Board) -> None:
    """Not at once: another watcher may have put what this one has not heard of yet."""
    board.write()
    board.relist()
    board.hear(Changed("DELETED", board.shelf.objects.pop(PATH), "2"))
    assert KEY in board.store.table()
    board.gone_for(GONE_AFTER_S)
    board.look()
    assert KEY not in board.store.table()
    assert board.asked == []


def test_a_row_that_was_heard_of_late_stays(board: Board) -> None:
    """Put by another watcher, then heard of here: it never was without a resource."""
    board.relist()
    board.store.put([policy()])
    board.look()
    board.write()
    board.relist()
    board.gone_for(GONE_AFTER_S)
    board.look()
    assert KEY in board.store.table()


def test_a_resource_that_is_deleted_waits_for_its_traffic(board: Board) -> None:
    """The retirement is asked for once; home, the finalizer goes, and then the row."""
    leaving(board)
    board.look()
    assert board.asked == [Action.RETIRE]
    assert board.box.events[0].subject == KEY
    assert FINALIZER in board.shelf.objects[PATH]["metadata"]["finalizers"]

    board.move(Placement(epoch=2, step=1), state=State.CLOSED, epoch=2)
    board.look()
    assert PATH not in board.shelf.objects
    board.relist()
    board.gone_for(GONE_AFTER_S)
    board.look()
    assert KEY not in board.store.table()
    assert board.asked == [Action.RETIRE]


def test_a_retirement_that_was_not_heard_is_asked_for_again(board: Board) -> None:
    """After a while and under the same id; not when the breaker is retired already."""
    leaving(board)
    board.watcher._departures._asked[KEY] -= ASK_AGAIN_S
    board.look()
    assert board.asked == [Action.RETIRE] * 2
    assert board.box.events[0].id == board.box.events[1].id
    board.watcher._departures._asked[KEY] -= ASK_AGAIN_S
    board.move(override=Override(Action.HOLD, "fuseboard", DELETED_REASON, 1))
    board.look()
    assert len(board.asked) == 2


def test_what_does_not_come_home_is_let_go_in_time(board: Board) -> None:
    """A human is told what is left; the row goes with the resource."""
    board.release_after_s = 0.0
    board.start()
    leaving(board)
    (failed,) = (each.data for each in board.box.events if isinstance(each.data, FailoverFailed))
    assert failed.shares == {"target": 0, "standby": 100}
    assert PATH not in board.shelf.objects
    board.relist()
    board.gone_for(GONE_AFTER_S)
    board.look()
    assert KEY not in board.store.table()
    assert len([each for each in board.box.events if isinstance(each.data, FailoverFailed)]) == 1


@pytest.mark.parametrize("how", ["Leave", "terminating", "no namespace"])
def test_what_nobody_waits_for_is_let_go_at_once(board: Board, how: str) -> None:
    """By the policy, or since the whole namespace is going."""
    if how == "terminating":
        board.shelf.put(SPACE, {"metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    elif how == "no namespace":
        del board.shelf.objects[SPACE]
    leaving(board, **({"onDelete": "Leave"} if how == "Leave" else {}))
    assert PATH not in board.shelf.objects
    assert board.box.events == []


def test_what_was_let_go_once_is_waited_for_the_next_time(board: Board) -> None:
    """Written again before its row was cleared, it is a breaker like any other."""
    leaving(board, onDelete="Leave")
    board.write(spec={"target": {"name": "login"}, "mode": "Enforce"}, uid="another")
    board.relist()
    del board.shelf.objects[PATH]
    board.relist()
    board.gone_for(GONE_AFTER_S)
    board.look()
    assert KEY in board.store.table()
    assert board.asked == [Action.RETIRE]


def test_whether_a_namespace_goes_may_be_hidden(board: Board) -> None:
    """Who may not ask waits as long as for any other."""

    def refuse(what: str) -> None:
        if what == f"get {SPACE}":
            raise Refused("403 forbidden")

    board.shelf.before = refuse
    leaving(board)
    assert PATH in board.shelf.objects
    assert board.asked == [Action.RETIRE]


def test_gone_without_a_word_the_row_waits_for_the_traffic(board: Board) -> None:
    """The watcher was down: it asks for the return, and the row goes when that is done."""
    board.store.put([policy(mode="Enforce")])
    board.move()
    board.relist()
    board.gone_for(GONE_AFTER_S)
    board.look()
    assert (board.asked, KEY in board.store.table()) == ([Action.RETIRE], True)
    board.move(Placement(epoch=2, step=1), state=State.CLOSED, epoch=2)
    board.look()
    assert KEY not in board.store.table()


def test_gone_for_too_long_the_row_goes_and_it_is_told(board: Board) -> None:
    """As for one that was deleted."""
    board.store.put([policy(mode="Enforce")])
    board.move()
    board.relist()
    board.gone_for(120)
    board.look()
    assert KEY not in board.store.table()
    assert any(isinstance(each.data, FailoverFailed) for each in board.box.events)


def test_others_finalizers_stay(board: Board) -> None:
    """Only ours is taken off."""
    board.write()
    board.relist()
    stamp = "2026-01-01T00:00:00Z"
    board.write(finalizers=[FINALIZER, "example.com/x"], deletionTimestamp=stamp)
    board.relist()
    assert board.shelf.objects[PATH]["metadata"]["finalizers"] == ["example.com/x"]


@pytest.mark.parametrize("retired", [True, False])
def test_a_breaker_that_is_written_again_works_again(board: Board, *, retired: bool) -> None:
    """One that was retired is released; an operator's hold is left as it is."""
    board.store.put([policy()])
    override = Override(Action.HOLD, "fuseboard" if retired else "tess", DELETED_REASON, 1)
    board.move(Placement(), state=State.CLOSED, override=override)
    board.write()
    board.relist()
    assert board.asked == ([Action.RELEASE] if retired else [])


def test_a_breaker_that_is_written_again_works_again_whoever_told_its_state_first(board: Board) -> None:
    """Its status may say a state before this watcher has looked, or after another one has ended: it is released."""
    board.store.put([policy()])
    board.move(Placement(), state=State.CLOSED, override=Override(Action.HOLD, "fuseboard", DELETED_REASON, 1))
    board.write(creationTimestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    board.shelf.objects[PATH]["status"] = {"state": "CLOSED"}
    board.relist()
    assert board.asked == [Action.RELEASE]


# -- where it does nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kubeconfig", ["", "no/such/file"])
def test_where_the_table_is_a_file_or_there_is_no_cluster_nothing_is_watched(
    tmp_path: Path, redis_url: str, kubeconfig: str
) -> None:
    """It is ready, and ends when told to."""
    policies = tmp_path if kubeconfig else None
    watcher = new(Connections(Settings(redis_url=redis_url, kubeconfig=kubeconfig, policies=policies)))
    watcher.check()
    stop = Flag()
    thread = Thread(target=watcher.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
