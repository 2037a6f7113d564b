"""Failover against a real HTTP server: what it must do, what it must not, and whoever dies in between."""

from __future__ import annotations

import time
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from functions import failover
from functions.failover import Failover
from fuseboard.breaker.placement import Claim, Result, Shares
from fuseboard.breaker.state import State
from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.delivery.connections import Connections
from fuseboard.errors import Busy, CannotStart, ClusterUnavailable, NotEnrolled, Unavailable
from fuseboard.events.event import Event as CloudEvent
from fuseboard.events.types import (
    FailoverDone,
    FailoverFailed,
    FailoverRefused,
    FailoverReverted,
)
from fuseboard.failover.begin import LEASE_MS
from fuseboard.settings import Settings
from fuseboard.stores.records import Change
from fuseboard.testing.api_server import (
    SERVICE,
    FakeApiServer,
    answers,
    applies_late,
    connect,
    is_slow,
    meddles,
    passes,
    waits_for,
)
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.panel import row_of
from tests.functions.world import AWAY, COMMON, KEY, PRIMARY, STANDBY, Killed, World, done, fence_of, policy_of, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from kmock import Request

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.cluster.client import Kubernetes
    from fuseboard.stores import Store
    from fuseboard.testing.api_server import Fault

Answer = TypeVar("Answer")


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """Serve target, standby and the Service in front of them."""
    with FakeApiServer() as running:
        running.put(SERVICE, {"selector": PRIMARY, "ports": [{"port": 80}]}, annotations={"foreign": "kept"})
        running.pod("login-1", PRIMARY)
        running.pod("standby-1", STANDBY)
        yield running


@pytest.fixture
def world() -> World:
    """Keep one breaker that enforces."""
    return World()


@pytest.fixture
def function(world: World, server: FakeApiServer, tmp_path: Path) -> Failover:
    """Act on the server by the real client."""
    return Failover(world.store, connect(tmp_path, server))


class TestMustAct:
    """A debt is paid by one fenced patch."""

    def test_open_moves_all_to_the_standby(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Selector and fence change together, in one patch, and the reply tells of it."""
        reply = done(function.handle(world.ask(State.OPEN)))
        assert server.selector() == STANDBY
        assert (server.mark()["epoch"], server.mark()["step"], len(server.applied)) == (1, 1, 1)
        assert (reply.result, reply.shares, reply.rehearsed) == ("verified", {"target": 0, "standby": 100}, False)
        assert world.placement.shares == AWAY
        assert world.placement.verified_at == world.now

    def test_limited_widens_the_selector(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Both serve by what their selectors have in common."""
        reply = done(function.handle(world.ask(State.LIMITED)))
        assert server.selector() == COMMON
        assert reply.shares == {"target": 50, "standby": 50}

    def test_limited_then_open_then_closed_restores(
        self, world: World, server: FakeApiServer, function: Failover
    ) -> None:
        """After three moves everything is what it was, but for the annotation and its risen fence."""
        before = msgspec.json.encode(server.objects[SERVICE]["spec"])
        for state in (State.LIMITED, State.OPEN, State.HALF_OPEN, State.CLOSED):
            done(function.handle(world.ask(state)))
            world.now += 1_000
        assert msgspec.json.encode(server.objects[SERVICE]["spec"]) == before
        assert server.objects[SERVICE]["metadata"]["annotations"]["foreign"] == "kept"
        assert (server.mark()["epoch"], "prior" in server.mark()) == (4, False)
        assert world.placement.route is None

    def test_a_trial_goes_from_share_to_share(self, tmp_path: Path, server: FakeApiServer) -> None:
        """Half first, then all: the second share is a step of the same epoch, and owed as soon as it is asked for."""
        world = World(policy_of(recover={"trialShares": [50, 100]}))
        function = Failover(world.store, connect(tmp_path, server))
        function.handle(world.ask(State.OPEN))
        reply = done(function.handle(world.ask(State.HALF_OPEN)))
        assert (reply.shares, server.selector()) == ({"target": 50, "standby": 50}, COMMON)
        world.now += 30_000
        world.on_trial(1)
        assert row_of(state=world.breaker, placement=world.placement).debt_due == world.now
        reply = done(function.handle(world.due()))
        assert (reply.epoch, reply.step, reply.shares) == (2, 2, {"target": 100, "standby": 0})
        assert (server.selector(), world.placement.trial) == (PRIMARY, 1)
        assert row_of(state=world.breaker, placement=world.placement).debt_due is None

    def test_a_trial_of_half_needs_no_standby(self, tmp_path: Path, server: FakeApiServer) -> None:
        """The standby has lost its last pod while it served: the target, which is well again, is given its share."""
        world = World(policy_of(recover={"trialShares": [50, 100]}))
        function = Failover(world.store, connect(tmp_path, server))
        function.handle(world.ask(State.OPEN))
        server.pods.pop()
        done(function.handle(world.ask(State.HALF_OPEN)))
        assert server.selector() == COMMON

    def test_a_share_of_a_trial_that_cannot_be_expressed_is_told(self, tmp_path: Path, server: FakeApiServer) -> None:
        """Without a label in common there is no half: the debt is paid, nothing moved, and the breaker can go on."""
        other = {"app": "other", "track": "standby"}
        server.pod("other-1", other)
        selectors = {"target": PRIMARY, "standby": other}
        world = World(
            policy_of(route={"name": "login", "selectors": selectors}, recover={"trialShares": [50, 100]}),
        )
        function = Failover(world.store, connect(tmp_path, server))
        function.handle(world.ask(State.OPEN))
        reply = done(function.handle(world.ask(State.HALF_OPEN)))
        assert (reply.result, reply.shares) == ("inexpressible", {"target": 0, "standby": 100})
        assert row_of(state=world.breaker, placement=world.placement).verified_since
        assert world.placement.inexpressible

    def test_shares_in_place_are_only_sealed(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """From HALF_OPEN to CLOSED nothing moves: the patch has no spec."""
        for state in (State.OPEN, State.HALF_OPEN, State.CLOSED):
            function.handle(world.ask(state))
        assert ["spec" in patch for patch in server.applied] == [True, True, False]

    def test_a_duplicate_gets_the_same_reply(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """The answer may have been lost: the same event has the same answer, and no second effect."""
        event = world.ask(State.OPEN)
        first = function.handle(event)
        world.now += 5_000
        assert function.handle(event) == first
        assert len(server.applied) == 1

    def test_the_trace_goes_on(self, world: World, function: Failover) -> None:
        """A reply carries its cause's traceparent, and is named by cause, epoch and step."""
        event = world.ask(State.OPEN)
        reply = function.handle(event)
        assert reply is not None
        assert reply.extensions == {"traceparent": "00-1-2-01"}
        assert reply.id == event.reply(done(reply), step="1.1", time=0).id

    def test_intent_precedes_result(self, world: World, function: Failover) -> None:
        """The journal has the intent before the one result, with the patch that was sent."""
        function.handle(world.ask(State.OPEN))
        assert world.kinds() == [("intent", ""), ("result", "verified")]
        patch = world.store.journal([KEY], 1)[0].patch
        assert patch is not None
        assert msgspec.json.decode(patch)["spec"]["selector"] == STANDBY

    def test_selectors_follow_from_the_workloads(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Without selectors in the policy, those of Deployment and StatefulSet are taken."""
        world = World(
            policy_of(standby={"kind": "StatefulSet", "name": "login-standby"}, route={"name": "login"}),
        )
        apps = "/apis/apps/v1/namespaces/shop"
        server.put(f"{apps}/deployments/login", {"selector": {"matchLabels": PRIMARY}})
        server.put(f"{apps}/statefulsets/login-standby", {"selector": {"matchLabels": STANDBY}})
        done(Failover(world.store, connect(tmp_path, server)).handle(world.ask(State.OPEN)))
        assert server.selector() == STANDBY

    def test_a_conflict_is_read_again(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Somebody else labels the Service in between: the patch is planned anew and their change is kept."""
        server.faults["PATCH"].append(meddles({"metadata": {"labels": {"team": "a"}}}))
        done(function.handle(world.ask(State.OPEN)))
        assert server.selector() == STANDBY
        assert server.objects[SERVICE]["metadata"]["labels"] == {"team": "a"}
        assert (server.count("PATCH"), len(server.applied)) == (2, 1)

    def test_a_late_answer_is_read_back(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """The patch was applied and its answer never came: the fence tells, and it is not sent again."""
        server.faults["PATCH"].append(applies_late(1.0))
        function = Failover(world.store, connect(tmp_path, server, call_timeout_s=0.3))
        done(function.handle(world.ask(State.OPEN)))
        assert (server.count("PATCH"), len(server.applied)) == (1, 1)

    def test_an_error_after_the_write_is_read_back(
        self, world: World, server: FakeApiServer, function: Failover
    ) -> None:
        """A 500 says nothing about whether the patch was applied."""

        async def fault(running: FakeApiServer, request: Request) -> Manifest | None:
            running.apply(request)
            return await answers(500, "etcd timeout")(running, request)

        server.faults["PATCH"].append(fault)
        done(function.handle(world.ask(State.OPEN)))
        assert len(server.applied) == 1

    def test_a_refusal_is_tried_again(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """No ready standby: refused before any change, later again, and moved once a pod is ready."""
        server.pods.pop()
        reply = done(function.handle(world.ask(State.OPEN)), FailoverRefused)
        assert "no ready pod" in reply.reason
        server.pod("standby-2", STANDBY)
        done(function.handle(world.due()))
        assert server.selector() == STANDBY

    def test_traffic_returns_by_the_snapshot(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Standby and route are gone from the policy: the traffic comes back the way it left."""
        function.handle(world.ask(State.OPEN))
        world.store.apply([policy_of(standby=None, route=None)])
        reply = done(function.handle(world.ask(State.CLOSED)))
        assert server.selector() == PRIMARY
        assert reply.result == "verified"

    def test_traffic_returns_without_the_standby(self, server: FakeApiServer, tmp_path: Path) -> None:
        """The standby's Deployment is deleted: that must not keep the traffic there."""
        world = World(policy_of(route={"name": "login"}))
        apps = "/apis/apps/v1/namespaces/shop/deployments"
        server.put(f"{apps}/login", {"selector": {"matchLabels": PRIMARY}})
        server.put(f"{apps}/login-standby", {"selector": {"matchLabels": STANDBY}})
        function = Failover(world.store, connect(tmp_path, server))
        done(function.handle(world.ask(State.OPEN)))
        del server.objects[f"{apps}/login-standby"]
        done(function.handle(world.ask(State.CLOSED)))
        assert server.selector() == PRIMARY


class TestMustNotAct:
    """Whatever the event says, nothing is done that the record does not call for."""

    def test_a_forged_event(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """An event of a transition that never was changes nothing, and is not answered."""
        event = CloudEvent(id="forged", source="/x", subject=KEY, data=told("x").data)
        assert function.handle(event) is None
        assert (server.requests, world.kinds()) == ([], [])

    def test_an_unknown_breaker(self, function: Failover, server: FakeApiServer) -> None:
        """A subject that the table does not have is an error, and touches no object."""
        event = CloudEvent(id="1", source="/x", subject="shop/other", data=told("x").data)
        with pytest.raises(NotEnrolled):
            function.handle(event)
        assert server.requests == []

    def test_observe_only_tells(self, server: FakeApiServer, tmp_path: Path) -> None:
        """In mode Observe the debt is paid by saying what would be done."""
        world = World(policy_of(mode="Observe"))
        reply = done(Failover(world.store, connect(tmp_path, server)).handle(world.ask(State.OPEN)))
        assert (reply.result, reply.shares) == ("observed", {"target": 100, "standby": 0})
        assert "would move" in reply.reason
        assert server.requests == []

    def test_no_standby(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Without a standby there is nowhere to go, and that is said."""
        world = World(policy_of(standby=None, route=None))
        reply = done(Failover(world.store, connect(tmp_path, server)).handle(world.ask(State.OPEN)))
        assert reply.result == "inexpressible"
        assert server.requests == []

    def test_a_hold(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """While the breaker is held nothing is done; the clock comes back when it is over."""
        event = world.ask(State.OPEN, held_until=world.now + 100_000)
        world.now += 99_999
        assert function.handle(event) is None
        assert server.requests == []
        done(function.handle(world.due()))

    def test_before_a_refusal_is_due_again(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Events that come before the next try get the answer that there is, or none."""
        server.pods.pop()
        event = world.ask(State.OPEN)
        first = function.handle(event)
        calls = len(server.requests)
        assert function.handle(event) == first
        assert function.handle(told("another")) is None
        assert len(server.requests) == calls

    def test_an_older_fence(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """The route carries a higher epoch than the store knows: memory was lost, and nothing is done."""
        server.edit(SERVICE, {"metadata": {"annotations": {"breaker.fuseboard.dev/login": mark_of(7, 2)}}})
        before = server.objects[SERVICE]
        reply = done(function.handle(world.ask(State.OPEN)), FailoverRefused)
        assert server.objects[SERVICE] == before
        assert "memory was lost" in reply.reason
        assert (world.breaker.epoch, world.breaker.held_until) == (8, world.now + 100_000)
        assert world.kinds() == [("intent", ""), ("memory", "")]

    def test_after_amnesia_one_cool_down_later(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """The debt is paid above the old fence, once the cool-down is over and not before."""
        server.edit(SERVICE, {"metadata": {"annotations": {"breaker.fuseboard.dev/login": mark_of(7, 2)}}})
        event = world.ask(State.OPEN)
        first = function.handle(event)
        world.now += 99_999
        assert function.handle(event) == first
        assert server.applied == []
        done(function.handle(world.due()))
        assert (server.mark()["epoch"], server.mark()["step"]) == (8, 1)

    def test_a_step_that_the_store_forgot(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """The same epoch with a step that nobody claimed is a loss of memory, too."""
        server.edit(SERVICE, {"metadata": {"annotations": {"breaker.fuseboard.dev/login": mark_of(1, 1)}}})
        done(function.handle(world.ask(State.OPEN)), FailoverRefused)
        assert (server.applied, world.breaker.epoch) == ([], 2)

    def test_a_foreign_selector(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Somebody else has pointed the Service elsewhere: it is left alone."""
        function.handle(world.ask(State.OPEN))
        server.edit(SERVICE, {"spec": {"selector": {"track": "canary"}}})
        reply = done(function.handle(world.ask(State.CLOSED)), FailoverRefused)
        assert server.selector() == {"app": "login", "track": "canary"}
        assert "neither target nor standby" in reply.reason

    def test_the_target_has_no_pod_to_return_to(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Traffic does not go back to a target without a ready pod."""
        function.handle(world.ask(State.OPEN))
        del server.pods[0]
        done(function.handle(world.ask(State.HALF_OPEN)), FailoverRefused)
        assert server.selector() == STANDBY

    def test_pods_that_leave_do_not_count(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """A pod that is being deleted, or is not ready, is none to move to."""
        server.pods.pop()
        server.pod("leaving", STANDBY, leaving=True)
        server.pod("unready", STANDBY, ready=False)
        done(function.handle(world.ask(State.OPEN)), FailoverRefused)
        assert server.applied == []

    def test_strangers_are_not_drawn_in(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """What both selectors have in common also selects a third workload: LIMITED cannot be expressed."""
        server.pod("batch-1", {"app": "login", "track": "batch"})
        reply = done(function.handle(world.ask(State.LIMITED)))
        assert (reply.result, server.applied) == ("inexpressible", [])
        assert "batch-1" in reply.reason

    def test_while_somebody_is_at_work(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """A claim that is in force means: try again."""
        event = world.ask(State.OPEN)
        claim_for(world, epoch=1)
        with pytest.raises(Busy, match="another step of its placement is running"):
            function.handle(event)
        assert server.requests == []

    def test_no_decision_past_a_claim_that_it_cannot_seal(self, server: FakeApiServer, tmp_path: Path) -> None:
        """The mode became Observe while an older step is under way: its outcome is waited for."""
        world = World(policy_of(mode="Observe"))
        world.ask(State.OPEN)
        claim_for(world, epoch=1)
        event = world.ask(State.CLOSED)
        function = Failover(world.store, connect(tmp_path, server))
        with pytest.raises(Busy):
            function.handle(event)
        world.now += LEASE_MS
        assert done(function.handle(event)).result == "verified"


class TestTheClusterSaysNo:
    """Every answer of the API server has its consequence."""

    @pytest.mark.parametrize(
        ("status", "message", "told_of"),
        [
            (403, 'services "login" is forbidden', "allow it in the Role"),
            (403, 'admission webhook "x" denied the request', "admission rule"),
            (422, "spec.selector: Invalid value", "compare it with the policy"),
            (400, "admission webhook denied the request: no", "admission rule"),
        ],
    )
    def test_for_good(
        self, world: World, server: FakeApiServer, function: Failover, status: int, message: str, told_of: str
    ) -> None:
        """A refusal fails the step, says why, and is tried again after one cool-down."""
        server.faults["PATCH"].append(answers(status, message))
        reply = done(function.handle(world.ask(State.OPEN)), FailoverFailed)
        assert told_of in reply.reason
        assert world.placement.retry_at == world.now + 100_000
        assert world.placement.shares == Shares()
        done(function.handle(world.due()))
        assert server.selector() == STANDBY

    def test_the_service_is_gone(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """A Service that does not exist is never created."""
        del server.objects[SERVICE]
        reply = done(function.handle(world.ask(State.OPEN)), FailoverFailed)
        assert "does not exist" in reply.reason
        assert server.objects == {}

    def test_the_standby_is_gone(self, server: FakeApiServer, tmp_path: Path) -> None:
        """A standby that does not exist fails the step, and the target keeps the traffic."""
        world = World(policy_of(route={"name": "login"}))
        server.put("/apis/apps/v1/namespaces/shop/deployments/login", {"selector": {"matchLabels": PRIMARY}})
        reply = done(Failover(world.store, connect(tmp_path, server)).handle(world.ask(State.OPEN)), FailoverFailed)
        assert "login-standby" in reply.reason
        assert server.selector() == PRIMARY

    @pytest.mark.parametrize(
        "fault",
        [
            answers(429, "too many requests"),
            answers(500, "failed calling webhook: connection refused"),
            answers(503, "shutting down"),
            answers(401, "Unauthorized"),
        ],
    )
    def test_not_now(self, world: World, server: FakeApiServer, function: Failover, fault: Fault) -> None:
        """What may pass is for the broker to send again, and the claim is given back: the next try acts at once."""
        server.faults["PATCH"].append(fault)
        event = world.ask(State.OPEN)
        with pytest.raises(ClusterUnavailable):
            function.handle(event)
        assert world.kinds() == [("intent", ""), ("result", "unavailable")]
        done(function.handle(event))
        assert (server.mark()["step"], len(server.applied)) == (2, 1)

    def test_attempts_that_are_put_off(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """While the API server is down the clock tries ever more seldom, up to the cool-down."""
        server.faults["GET"].extend([answers(503)] * 8)
        event = world.ask(State.OPEN)
        waits = []
        for _ in range(8):
            before = world.now
            with pytest.raises(ClusterUnavailable):
                function.handle(event)
            event = world.due()
            waits.append((world.now - before) // 1_000)
        assert waits == [2, 4, 8, 16, 32, 64, 100, 100]

    def test_five_conflicts(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """A Service that changes all the time is given up after five tries, and nothing is half done."""
        server.faults["PATCH"].extend([answers(409, "modified")] * 5)
        event = world.ask(State.OPEN)
        with pytest.raises(ClusterUnavailable, match="changed 5 times"):
            function.handle(event)
        assert (server.count("PATCH"), server.applied) == (5, [])
        done(function.handle(event))

    def test_nobody_answers(self, world: World, tmp_path: Path) -> None:
        """No API server at all is a 503, not a trace."""
        with FakeApiServer() as gone:
            cluster = connect(tmp_path, gone)
        with pytest.raises(ClusterUnavailable, match="no answer from the API server"):
            Failover(world.store, cluster).handle(world.ask(State.OPEN))

    def test_a_slow_server_does_not_outlast_the_deadline(
        self, world: World, server: FakeApiServer, tmp_path: Path
    ) -> None:
        """Every call gets what is left of the step's time, so that an answer is given within 8 s."""
        server.faults["GET"].extend([is_slow(5)] * 3)
        cluster = Hurried(connect(tmp_path, server))
        began = time.monotonic()
        with pytest.raises(ClusterUnavailable):
            Failover(world.store, cluster).handle(world.ask(State.OPEN))
        assert time.monotonic() - began < 5

    def test_an_annotation_that_cannot_be_read(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Whoever edits the fence away is told, and nothing is done without it."""
        server.edit(SERVICE, {"metadata": {"annotations": {"breaker.fuseboard.dev/login": "{"}}})
        reply = done(function.handle(world.ask(State.OPEN)), FailoverFailed)
        assert "cannot be read" in reply.reason
        assert server.applied == []


class TestVerifiedOrUndone:
    """A step that does not hold is undone, as far as it is still ours."""

    def test_the_standby_dies_at_once(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """The last pod goes between plan and look: everything is put back, under a fence of its own."""

        async def dies(running: FakeApiServer, _: Request) -> Manifest | None:
            running.pods.pop()
            return None

        before = server.selector()
        server.faults["PATCH"].append(dies)
        reply = done(function.handle(world.ask(State.OPEN)), FailoverReverted)
        assert server.selector() == before
        assert "no ready pod" in reply.reason
        assert [fence_of(patch) for patch in server.applied] == [(1, 1), (1, 2)]
        assert (world.placement.shares, world.placement.step) == (Shares(), 2)
        assert world.kinds() == [("intent", ""), ("intent", ""), ("result", "reverted")]

    def test_it_is_tried_again_after_an_undo(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """An undone step leaves a debt, and the next try moves above the undo's fence."""
        self.test_the_standby_dies_at_once(world, server, function)
        server.pod("standby-2", STANDBY)
        done(function.handle(world.due()))
        assert (server.selector(), server.mark()["step"]) == (STANDBY, 3)
        assert server.mark()["prior"] == PRIMARY

    def test_what_is_not_ours_any_more_is_left(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """Somebody else changes the selector right after our patch: theirs stays."""
        server.faults["GET"].extend([passes(), passes(), meddles({"spec": {"selector": {"track": "canary"}}})])
        reply = done(function.handle(world.ask(State.OPEN)), FailoverReverted)
        assert server.selector() == {"app": "login", "track": "canary"}
        assert "left as it is" in reply.reason
        assert len(server.applied) == 1

    def test_an_undo_that_meets_a_conflict(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """The undo is planned anew as well."""

        async def dies(running: FakeApiServer, _: Request) -> Manifest | None:
            running.pods.pop()
            return None

        server.faults["PATCH"].extend([dies, meddles({"metadata": {"labels": {"team": "a"}}})])
        done(function.handle(world.ask(State.OPEN)), FailoverReverted)
        assert server.selector() == PRIMARY

    @pytest.mark.parametrize(("fault", "kind"), [(answers(403), FailoverFailed), (answers(503), None)])
    def test_an_undo_that_is_refused(
        self, world: World, server: FakeApiServer, function: Failover, fault: Fault, kind: type[FailoverDone] | None
    ) -> None:
        """What cannot be undone is on record with the shares that are in place, or tried again."""

        async def dies(running: FakeApiServer, _: Request) -> Manifest | None:
            running.pods.pop()
            return None

        server.faults["PATCH"].extend([dies, fault])
        event = world.ask(State.OPEN)
        if kind is None:
            with pytest.raises(ClusterUnavailable):
                function.handle(event)
            assert done(function.handle(event), FailoverRefused).shares == {"target": 0, "standby": 100}
        else:
            assert done(function.handle(event), kind).shares == {"target": 0, "standby": 100}


class TestTwoAtOnce:
    """Any interleaving has at most one effect per fence, and the fence only rises."""

    def test_two_executors_race(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """Of eight that are woken by one transition, one acts; the others are told to come again, or why not."""
        event, start = world.ask(State.OPEN), Barrier(8, timeout=60)
        function = Failover(world.store, connect(tmp_path, server))
        answered: list[object] = []

        def work() -> None:
            start.wait()
            try:
                answered.append(function.handle(event))
            except Busy as error:
                answered.append(error)

        threads = [Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        replies = [each for each in answered if isinstance(each, CloudEvent)]
        assert len(answered) == 8
        assert all(reply == replies[0] for reply in replies)
        assert len(server.applied) == 1

    def test_a_newer_epoch_supersedes(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """A patch that arrives after the breaker closed again finds the Service sealed, and has no effect."""
        release, reached = Event(), Event()
        server.faults["PATCH"].append(waits_for(release, reached))
        late: list[object] = []
        opened = world.ask(State.OPEN)
        slow = Failover(world.store, connect(tmp_path, server))
        thread = Thread(target=lambda: late.append(slow.handle(opened)))
        thread.start()
        assert reached.wait(60)
        done(Failover(world.store, connect(tmp_path, server)).handle(world.ask(State.CLOSED)))
        release.set()
        thread.join(60)
        assert late == [None]
        assert server.selector() == PRIMARY
        assert [fence_of(patch) for patch in server.applied] == [(2, 1)]
        assert world.placement.epoch == 2

    def test_frozen_past_its_lease(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """An executor that wakes up after another has taken over changes nothing, there or in the store."""
        release, reached = Event(), Event()
        server.faults["PATCH"].append(waits_for(release, reached))
        event, late = world.ask(State.OPEN), list[object]()
        slow = Failover(world.store, connect(tmp_path, server))
        thread = Thread(target=lambda: late.append(slow.handle(event)))
        thread.start()
        assert reached.wait(60)
        world.now += LEASE_MS
        done(Failover(world.store, connect(tmp_path, server)).handle(event))
        after = world.store.read(KEY)
        release.set()
        thread.join(60)
        assert late == [None]
        assert world.store.read(KEY) == after
        assert [fence_of(patch) for patch in server.applied] == [(1, 2)]

    def test_the_store_forgets_what_is_under_way(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """The claim is lost while its patch is sent: whoever sent it says so, and the epoch goes on above it."""
        release, reached = Event(), Event()
        before = world.store.read(KEY)
        world.ask(State.OPEN)
        server.faults["PATCH"].append(waits_for(release, reached))
        event, late = world.ask(State.OPEN), list[CloudEvent | None]()
        slow = Failover(world.store, connect(tmp_path, server))
        thread = Thread(target=lambda: late.append(slow.handle(event)))
        thread.start()
        assert reached.wait(60)
        world.store.change(KEY, lambda _: Change(before.state, before.placement))
        release.set()
        thread.join(60)
        assert "memory was lost" in done(late[0], FailoverRefused).reason
        assert (world.breaker.epoch, world.breaker.held_until) == (3, world.now + 100_000)
        done(Failover(world.store, connect(tmp_path, server)).handle(world.due()))
        assert (server.selector(), server.mark()["epoch"]) == (PRIMARY, 3)

    def test_refused_past_a_patch_under_way(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """Who takes over and stays seals first: the patch of the one before cannot land any more."""
        release, reached = Event(), Event()
        server.faults["PATCH"].append(waits_for(release, reached))
        event, late = world.ask(State.OPEN), list[object]()
        slow = Failover(world.store, connect(tmp_path, server))
        thread = Thread(target=lambda: late.append(slow.handle(event)))
        thread.start()
        assert reached.wait(60)
        world.now += LEASE_MS
        server.pods.pop()
        done(Failover(world.store, connect(tmp_path, server)).handle(event), FailoverRefused)
        release.set()
        thread.join(60)
        assert (late, server.selector()) == ([None], PRIMARY)
        assert (world.placement.result, world.placement.shares) == (Result.REFUSED, Shares())


class TestKilled:
    """Whoever dies at any point leaves a debt that the next one pays."""

    @pytest.mark.parametrize("state", [State.OPEN, State.LIMITED])
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("at", range(6))
    def test_at_every_call(
        self, world: World, server: FakeApiServer, tmp_path: Path, state: State, at: int, *, after: bool
    ) -> None:
        """Killed before or after its n-th call: nobody else acts within the lease; then the debt is paid."""
        event, cluster = world.ask(state), connect(tmp_path, server)
        died = False
        try:
            Failover(world.store, Dying(cluster, at, after=after)).handle(event)
        except Killed:
            died = True
            with pytest.raises(Busy):
                Failover(world.store, cluster).handle(event)
        world.now += LEASE_MS
        if died:
            done(Failover(world.store, cluster).handle(world.due()))
        assert server.selector() == (STANDBY if state is State.OPEN else COMMON)
        fences = [fence_of(patch) for patch in server.applied]
        assert fences == sorted(set(fences))
        assert sum("spec" in patch for patch in server.applied) == 1
        assert row_of(state=world.breaker, placement=world.placement).debt_due is None
        assert server.mark()["prior"] == PRIMARY

    @pytest.mark.parametrize("at", range(2))
    @pytest.mark.parametrize("after", [False, True])
    def test_at_every_change_of_the_store(
        self, world: World, server: FakeApiServer, tmp_path: Path, at: int, *, after: bool
    ) -> None:
        """Killed around the claim, or around the release."""
        event, cluster = world.ask(State.OPEN), connect(tmp_path, server)
        with pytest.raises(Killed):
            Failover(DyingStore(world.store, at, after=after), cluster).handle(event)
        world.now += LEASE_MS
        reply = Failover(world.store, cluster).handle(event)
        assert done(reply).result == "verified"
        assert sum("spec" in patch for patch in server.applied) == 1

    def test_the_store_goes_away_at_the_release(self, world: World, server: FakeApiServer, tmp_path: Path) -> None:
        """The traffic has moved and the store does not know: the next one finds it moved and only seals."""
        event, cluster = world.ask(State.OPEN), connect(tmp_path, server)
        with pytest.raises(Unavailable):
            Failover(DyingStore(world.store, 1, after=False, error=Unavailable("gone")), cluster).handle(event)
        world.now += LEASE_MS
        assert "in place already" in done(Failover(world.store, cluster).handle(event)).reason
        assert ["spec" in patch for patch in server.applied] == [True, False]


class TestRehearsal:
    """Without a kubeconfig the same plan is made, and nobody's traffic moves."""

    def test_the_same_patch(self, world: World, server: FakeApiServer, function: Failover) -> None:
        """A rehearsal would send what a real step sends, but for the version of an object that it does not know."""
        function.handle(world.ask(State.OPEN))
        rehearsed = World()
        reply = done(Failover(rehearsed.store, Rehearsal()).handle(rehearsed.ask(State.OPEN)))
        assert reply.rehearsed
        assert reply.result == "verified"
        sent = [patch_of(each) for each in (world, rehearsed)]
        for patch in sent:
            del patch["metadata"]["resourceVersion"]
        assert sent[0] == sent[1]
        assert len(server.applied) == 1

    def test_it_survives_a_restart(self, world: World, tmp_path: Path) -> None:
        """What was moved in a rehearsal comes back in the next process."""
        file = tmp_path / "rehearsal.json"
        done(Failover(world.store, Rehearsal(file)).handle(world.ask(State.OPEN)))
        done(Failover(world.store, Rehearsal(file)).handle(world.ask(State.CLOSED)))
        assert patch_of(world)["spec"]["selector"] == PRIMARY

    def test_assumptions_are_marked(self) -> None:
        """Where no selector is given, the journal says which one was taken for granted."""
        world = World(policy_of(route={"name": "login"}))
        done(Failover(world.store, Rehearsal()).handle(world.ask(State.OPEN)))
        entry = world.store.journal([KEY], 1)[0]
        assert entry.detail == {"assumed": {"target": "app=login", "standby": "app=login-standby"}}
        assert patch_of(world)["spec"]["selector"] == {"app": "login-standby"}

    def test_limited_is_not_expressible_by_assumed_selectors(self) -> None:
        """Two names have nothing in common: that is said, and the target keeps the traffic."""
        world = World(policy_of(route={"name": "login"}))
        reply = done(Failover(world.store, Rehearsal()).handle(world.ask(State.LIMITED)))
        assert (reply.result, reply.shares) == ("inexpressible", {"target": 100, "standby": 0})


class TestStart:
    """What is wrong at the start is said at the start."""

    def test_without_a_store(self) -> None:
        """Nothing is begun without the place where it is claimed."""
        with pytest.raises(CannotStart, match="FUSEBOARD_REDIS_URL"):
            failover.new(Connections(Settings()))

    def test_check_asks_store_and_cluster(self, world: World, function: Failover, tmp_path: Path) -> None:
        """Ready means: both answer."""
        function.check()
        with FakeApiServer() as gone:
            cluster = connect(tmp_path, gone)
        with pytest.raises(ClusterUnavailable):
            Failover(world.store, cluster).check()


class Dying:
    """A cluster whose user dies at its n-th call, before it is sent or after it was answered."""

    rehearses: ClassVar[bool] = False

    def __init__(self, cluster: Cluster, at: int, *, after: bool) -> None:
        self._cluster, self._left, self._after = cluster, at, after

    def within(self, seconds: float) -> Cluster:
        del seconds
        return self

    def get(self, path: str) -> Manifest:
        return self._call(lambda: self._cluster.get(path))

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        return self._call(lambda: self._cluster.list(path, label_selector))

    def patch(self, path: str, body: Manifest) -> None:
        self._call(lambda: self._cluster.patch(path, body))

    def check(self) -> None:
        """Nothing to check."""

    def _call(self, call: Callable[[], Answer]) -> Answer:
        self._left -= 1
        if self._left == -1 and not self._after:
            raise Killed
        answer = call()
        if self._left == -1:
            raise Killed
        return answer


class Hurried:
    """A cluster with less time for a step than it asks for."""

    rehearses: ClassVar[bool] = False

    def __init__(self, cluster: Kubernetes) -> None:
        self._cluster = cluster

    def within(self, seconds: float) -> Kubernetes:
        assert seconds > 6
        return self._cluster.within(1.0)

    def get(self, path: str) -> Manifest:
        raise NotImplementedError(path)

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        raise NotImplementedError(path, label_selector)

    def patch(self, path: str, body: Manifest) -> None:
        raise NotImplementedError(path, body)

    def check(self) -> None:
        """Nothing to check."""


class DyingStore(MemoryStore):
    """A store whose user dies at the n-th change, before it or after it."""

    def __init__(self, store: Store, at: int, *, after: bool, error: BaseException | None = None) -> None:
        self._store, self._left, self._after, self._error = store, at, after, error or Killed()

    def read(self, key: str) -> Row:
        return self._store.read(key)

    def change(self, key: str, decide: Callable[[Row], Change]) -> Change:
        self._left -= 1
        if self._left <= -1 and not self._after:
            raise self._error
        change = self._store.change(key, decide)
        if self._left <= -1:
            raise self._error
        return change


def claim_for(world: World, epoch: int) -> None:
    """Let somebody else be at work."""
    claim = Claim("somebody", epoch, 1, world.now + LEASE_MS)
    world.store.change(KEY, lambda record: Change(record.state, replace(record.placement, claim=claim)))


def mark_of(epoch: int, step: int) -> str:
    """Return an annotation as an earlier life has left it."""
    fields = {"epoch": epoch, "step": step, "shares": {"target": 100, "standby": 0}, "ours": PRIMARY}
    return msgspec.json.encode(fields).decode()


def patch_of(world: World) -> Manifest:
    """Return the patch of the newest journal entry."""
    patch = world.store.journal([KEY], 1)[0].patch
    assert patch is not None
    found: Manifest = msgspec.json.decode(patch)
    return found
