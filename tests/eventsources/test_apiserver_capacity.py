"""The watcher of pods and workloads, from a socket to the outbox: capacity, deaths, planned work and probes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from eventsources.apiserver import ApiServer
from functions.breaker import Breaker
from fuseboard.breaker.state import BreakerState, State
from fuseboard.events.event import Event
from fuseboard.events.types import CapacityChanged, Failure, FailureDetected, Phase, TimerElapsed
from fuseboard.policy.spec import Policy, Workload
from fuseboard.roles import Role
from fuseboard.stores.records import Change
from fuseboard.testing.api_script import Answer, ApiScript, change, in_thread, listed, refusal, streamed, until
from fuseboard.testing.http_server import LOOPBACK, listening
from fuseboard.testing.memory import MemoryCheckpoints, MemoryStore, opened
from fuseboard.testing.objects import condition, container, deployment, end, pod, starting, stateful_set
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.workloads.probe import Prober
from tests.eventsources.watching import SOON, event, look, wake
from tests.workloads.targets import SET, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fuseboard.breaker.row import Row
    from fuseboard.stores.records import Entry
    from fuseboard.testing.objects import Manifest

GOING = (condition("Available"), condition("Progressing", reason="ReplicaSetUpdated"))
ROLLING = deployment(2, conditions=GOING, updatedReplicas=1)
KEY = "shop/login"


def facts(box: MemoryOutbox) -> list[CapacityChanged]:
    """Return what was told of capacity."""
    return [each.data for each in box.events if isinstance(each.data, CapacityChanged)]


def failures(box: MemoryOutbox) -> list[Failure]:
    """Return what was told of failures."""
    found = (each.data.failures for each in box.events if isinstance(each.data, FailureDetected))
    return [failure for some in found for failure in some]


def scripted(found: Manifest, *some: Manifest, events: tuple[bytes, ...] = (), **scripts: list[Answer]) -> ApiScript:
    """Return an API server with these objects; Events come when pods and workloads have been read."""
    answers = {"deployments_list": [listed(found)], "pods_list": [listed(*some)], "get": [Answer(body=encoded(SET))]}
    return ApiScript(**{**answers, "watch": [later(*events)], **scripts})


def later(*lines: bytes) -> Answer:
    """Return a stream whose lines come after the test has let them."""
    return streamed(*lines, stays=True, waits=True)


def encoded(found: Manifest) -> bytes:
    """Return an object as an answer."""
    return change("", found)[len(b'{"type": "", "object": ') : -1]


def awake(source: ApiServer, condition: Callable[[], object]) -> None:
    """Wait for something, and let the source look around all the time."""

    def is_so() -> object:
        wake(source)
        return condition()

    until(is_so)


@contextmanager
def watching(
    server: ApiScript,
    directory: Path,
    box: MemoryOutbox,
    *policies: Policy,
    store: MemoryStore | None = None,
    gone: str = "",
) -> Iterator[ApiServer]:
    """Run the source until the block ends; pods on loopback are asked. Streams wait until a pod is ``gone``."""
    breakers = store or MemoryStore(lambda: round(time.time() * 1000))
    breakers.apply(policies or [policy()])
    prober = Prober(allow_loopback=True)
    source = ApiServer(breakers, box, MemoryCheckpoints(), server.client(directory), prober=prober)
    source.watches.pace, source._rounds.every_s = SOON, 0.05
    with in_thread(source.run, lambda: wake(source)):
        # Capacity is reported when pods and workloads have been read; where they may not be, that is on the record.
        awake(source, lambda: facts(box) or any("forbidden" in each.reason for each in box.entries))
        awake(source, lambda: source._intake.inventory.pods.get(gone) is None)
        server.go.set()
        yield source


def test_capacity_is_told_and_told_again_when_it_changes(tmp_path: Path) -> None:
    """By the lists, then by the stream of the pods."""
    box = MemoryOutbox()
    gone = change("DELETED", pod("a"))
    stream = [later(change("MODIFIED", pod("b", ready=False, turned_s=90)), gone)]
    with scripted(deployment(2), pod("a"), pod("b"), pods_watch=stream) as server, watching(server, tmp_path, box):
        until(lambda: facts(box)[-1:] == [CapacityChanged(Role.TARGET, 0, 2)])

    assert facts(box)[0] == CapacityChanged(Role.TARGET, 2, 2)
    assert {each.subject for each in box.events} == {KEY}
    assert any(entry.detail.get("capacity") for entry in box.entries)


def test_a_stateful_sets_pods_are_its_own(tmp_path: Path) -> None:
    """No ReplicaSet is asked for, and no Deployment is watched where the table has none."""
    box = MemoryOutbox()
    target = Workload("db", kind="StatefulSet")  # type: ignore[arg-type]
    found = policy(name="db", target="db", kind=target.kind)
    mine = pod("db-0", owner=("StatefulSet", "db", "uid-db"))
    scripts = {"statefulsets_list": [listed(stateful_set(1, name="db"))], "pods_list": [listed(mine)]}
    with ApiScript(**scripts) as server, watching(server, tmp_path, box, found):
        until(lambda: facts(box))

    assert facts(box) == [CapacityChanged(Role.TARGET, 1, 1)]
    assert server.of("get") == server.of("deployments_list") == []


def test_a_death_is_told_without_an_event(tmp_path: Path) -> None:
    """A recorder may be silent for half an hour: the pod's own status tells: K5."""
    died = pod("a", ready=False, turned_s=90, containers=(container(restarts=1, last=end()),))
    stream = [later(change("MODIFIED", died))]
    box = MemoryOutbox()
    with scripted(deployment(1), pod("a"), pods_watch=stream) as server, watching(server, tmp_path, box):
        until(lambda: failures(box))

    (failure,) = failures(box)
    assert (failure.key, failure.reason, failure.cause) == ("uid-a/app/1", "OOMKilled", "OOMKilled Pod/a")
    assert box.entries[-1].detail["died"] == 1


def about(name: str) -> dict[str, Any]:
    """Return a reference to a pod of ``tests.objects``, and its container."""
    found = {"kind": "Pod", "namespace": "shop", "name": name, "uid": f"uid-{name}"}
    return {"involvedObject": found | {"fieldPath": "spec.containers{app}"}}


UNHEALTHY = {"reason": "Unhealthy", "message": "Readiness probe failed: HTTP probe failed with statuscode: 503"}
LIVENESS = {"reason": "Unhealthy", "message": "Liveness probe failed: HTTP probe failed with statuscode: 503"}


@pytest.mark.parametrize(
    ("found", "some", "said"),
    [
        pytest.param(deployment(2), pod("x", leaving=True), UNHEALTHY, id="a pod that leaves"),
        pytest.param(deployment(2), pod("x", leaving=True), {"reason": "FailedKillPod"}, id="how it leaves"),
        pytest.param(deployment(2), pod("x", disrupted_s=50), {"reason": "Evicted"}, id="a drain"),
        pytest.param(ROLLING, starting("x"), UNHEALTHY, id="a slow start in a rollout"),
        pytest.param(ROLLING, starting("x"), UNHEALTHY | {"message": "Startup probe failed: x"}, id="by its startup"),
    ],
)
def test_what_planned_work_brings_is_not_told(
    tmp_path: Path, found: Manifest, some: Manifest, said: dict[str, Any]
) -> None:
    """It is on the record as planned, and the next failure of another pod is told: K26, K27."""
    lines = (change("ADDED", event("u", 3, **about("x"), **said)), change("ADDED", event("last", **about("y"))))
    box = MemoryOutbox()
    with scripted(found, some, pod("y"), events=lines) as server, watching(server, tmp_path, box):
        until(lambda: failures(box))

    assert [each.key for each in failures(box)] == ["last:1"]
    assert sum(each.detail.get("planned", 0) for each in box.entries) == 3


@pytest.mark.parametrize(
    ("found", "some", "said"),
    [
        pytest.param(ROLLING, pod("x", ready=False, turned_s=90), UNHEALTHY, id="it was ready"),
        pytest.param(ROLLING, starting("x"), {"reason": "BackOff"}, id="a bad image is rolled out"),
        pytest.param(ROLLING, starting("x"), {"reason": "Failed"}, id="a bad mount is rolled out"),
        pytest.param(ROLLING, starting("x"), LIVENESS, id="it is to be killed"),
        pytest.param(
            deployment(2, conditions=(GOING[0], condition("Progressing", "False", "ProgressDeadlineExceeded"))),
            starting("x"), UNHEALTHY, id="the rollout is late",
        ),
    ],
)  # fmt: skip
def test_what_fails_counts_also_in_a_rollout(
    tmp_path: Path, found: Manifest, some: Manifest, said: dict[str, Any]
) -> None:
    """A bad rollout is a failure of configuration, and a pod that was well and is no longer is one of its own."""
    box, lines = MemoryOutbox(), (change("ADDED", event("u", 2, **about("x"), **said)),)
    with scripted(found, some, pod("y"), events=lines) as server, watching(server, tmp_path, box):
        until(lambda: failures(box))

    assert [(each.key, each.reason) for each in failures(box)] == [("u:1", said["reason"]), ("u:2", said["reason"])]


def test_the_last_events_of_a_pod_that_is_gone_are_planned(tmp_path: Path) -> None:
    """They come late: who deleted it has had their will."""
    lines = (change("ADDED", event("u", **about("x"))), change("ADDED", event("last", **about("y"))))
    box, gone = MemoryOutbox(), [streamed(change("DELETED", pod("x", leaving=True)), stays=True)]
    with scripted(deployment(1), pod("x"), pod("y"), events=lines, pods_watch=gone) as server:  # noqa: SIM117
        with watching(server, tmp_path, box, gone="uid-x"):
            until(lambda: failures(box))

    assert [each.key for each in failures(box)] == ["last:1"]


@pytest.mark.parametrize(
    ("status", "chain"),
    [
        (container(waiting="CrashLoopBackOff", last=end()), ("OOMKilled",)),
        (container(waiting="ImagePullBackOff"), ("ImagePullBackOff",)),
        (container(), ()),
    ],
)
def test_what_led_to_an_event_is_told_with_it(tmp_path: Path, status: Manifest, chain: tuple[str, ...]) -> None:
    """An Event says that a container is restarted, its status says why."""
    box, lines = MemoryOutbox(), (change("ADDED", event(**about("x"))),)
    with (
        scripted(deployment(1), pod("x", containers=(status,)), events=lines) as server,
        watching(server, tmp_path, box),
    ):
        until(lambda: failures(box))

    assert [(each.reason, each.chain) for each in failures(box)] == [("BackOff", chain)]


def test_without_permission_for_pods_events_still_count(tmp_path: Path) -> None:
    """A namespace that was enrolled before capacity was watched: it is on record, and nothing is made up."""
    box, no = MemoryOutbox(), [refusal(403, "pods is forbidden")]
    with scripted(deployment(1), events=(change("ADDED", event()),), pods_list=no) as server:  # noqa: SIM117
        with watching(server, tmp_path, box):
            until(lambda: failures(box))

    assert facts(box) == []
    assert any("pods is forbidden" in each.reason for each in box.entries)


def test_one_pod_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """It is left out."""
    box, bad = MemoryOutbox(), {"metadata": {"uid": 7}}
    lines = [later(change("ADDED", pod("z") | {"status": 7}), change("ADDED", pod("b")))]
    with scripted(deployment(2), bad, pod("a"), pods_watch=lines) as server, watching(server, tmp_path, box):
        until(lambda: facts(box)[-1:] == [CapacityChanged(Role.TARGET, 2, 2)])


def test_two_watchers_tell_the_same(tmp_path: Path) -> None:
    """The same ids: the second is a duplicate."""
    boxes = MemoryOutbox(), MemoryOutbox()
    with scripted(deployment(2), pod("a"), pod("b")) as server:  # noqa: SIM117
        with watching(server, tmp_path, boxes[0]), watching(server, tmp_path, boxes[1]):
            until(lambda: all(facts(box) for box in boxes))

    assert [each.id for each in boxes[0].events] == [each.id for each in boxes[1].events]


def test_a_breaker_that_comes_lists_its_namespace_anew(tmp_path: Path) -> None:
    """What was left out before may be its pods; nobody is told a half of them."""
    box, store = MemoryOutbox(), MemoryStore(lambda: round(time.time() * 1000))
    spare = pod("s", owner=("ReplicaSet", "spare-7d9c5b8f6d", "uid-spare"))
    both = listed(deployment(1), deployment(1, name="spare"))
    with scripted(deployment(1), pod("a"), spare, deployments_list=[both], get=[refusal(404)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, box, store=store) as source:
            store.apply([policy(), policy("spare", "spare")])
            look(source)
            until(lambda: len(facts(box)) == 2)

    assert [(each.subject, each.data) for each in box.events] == [
        (KEY, CapacityChanged(Role.TARGET, 1, 1)), ("shop/spare", CapacityChanged(Role.TARGET, 1, 1)),
    ]  # fmt: skip


class TestProbe:
    """Pods of open breakers are asked."""

    def run(self, directory: Path, answer: bytes, *, is_open: bool) -> tuple[list[str], list[bytes]]:
        """Return what was told of the probe, and what the pod was asked, after some rounds."""
        box, store = MemoryOutbox(), MemoryStore(lambda: round(time.time() * 1000))
        with listening(answer) as serving:
            found = policy(recover={"probe": {"http": "/healthz", "port": serving.port}})
            store.apply([found])
            if is_open:
                store.change(KEY, opened)
            mine = (
                pod("a", podIP=LOOPBACK),
                pod("b", podIP=LOOPBACK, ready=False),
                pod("c", podIP="169.254.169.254", ready=False),
            )
            with scripted(deployment(3), *mine) as server:  # noqa: SIM117
                with watching(server, directory, box, found, store=store) as source:
                    for _ in range(5):
                        looked_at = source._rounds._last_round
                        awake(source, lambda looked_at=looked_at: source._rounds._last_round > looked_at)  # type: ignore[misc]
                    awake(source, lambda: len(serving.asked) > 3 or not is_open)
        return [each.probe for each in facts(box)], serving.asked

    def test_what_an_open_breakers_pods_answer_is_told(self, tmp_path: Path) -> None:
        """Once, not with every round; those that are not ready are not asked."""
        probes, asked = self.run(tmp_path, b"HTTP/1.1 503 No\r\n\r\n", is_open=True)

        assert [each for each in probes if each] == ["a: it answers 503"]
        assert len(asked) > 1

    def test_a_pass_is_ok(self, tmp_path: Path) -> None:
        """By the word that the breaker knows."""
        assert [each for each in self.run(tmp_path, b"HTTP/1.1 204 No\r\n\r\n", is_open=True)[0] if each] == ["ok"]

    def test_a_closed_breakers_pods_are_left_alone(self, tmp_path: Path) -> None:
        """The kubelet asks them."""
        assert self.run(tmp_path, b"HTTP/1.1 503 No\r\n\r\n", is_open=False) == ([""], [])

    def test_when_it_closes_the_last_answer_is_taken_back(self, tmp_path: Path) -> None:
        """Else it would be believed in the next episode."""
        box, store = MemoryOutbox(), MemoryStore(lambda: round(time.time() * 1000))
        with listening(b"HTTP/1.1 200 OK\r\n\r\n") as serving:
            found = policy(recover={"probe": {"http": "/", "port": serving.port}})
            store.apply([found])
            before = store.read(KEY).state
            store.change(KEY, opened)
            with scripted(deployment(1), pod("a", podIP=LOOPBACK)) as server:  # noqa: SIM117
                with watching(server, tmp_path, box, found, store=store) as source:
                    awake(source, lambda: [each.probe for each in facts(box)][-1:] == ["ok"])
                    store.change(KEY, lambda record: Change(before, record.placement))
                    awake(source, lambda: [each.probe for each in facts(box)][-1:] == [""])


@dataclass
class Wired(MemoryOutbox):
    """An outbox whose events are the breaker function's at once."""

    passed_ms: int = 0
    """What the store's clock is ahead."""
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.now)

    def now(self) -> int:
        """Return the store's time."""
        return round(time.time() * 1000) + self.passed_ms

    def append(self, events: Sequence[Event], entry: Entry) -> None:
        super().append(events, entry)
        for each in events:
            Breaker(self.store).handle(each.at(self.now()))

    @property
    def state(self) -> State:
        """The state of the breaker."""
        return self.store.read(KEY).state.state


class TestToTheBreaker:
    """Through the breaker function, as it is deployed."""

    def test_a_probe_that_fails_keeps_it_open_and_one_that_passes_lets_it_try(self, tmp_path: Path) -> None:
        """The cool-down is over in both cases."""
        box = Wired()
        with listening(b"HTTP/1.1 503 No\r\n\r\n") as serving:
            probe = {"http": "/healthz", "port": serving.port}
            found = policy(recover={"probe": probe, "coolDown": "1s"})
            box.store.apply([found])
            box.store.change(KEY, cooled)
            with scripted(deployment(1), pod("a", podIP=LOOPBACK)) as server:  # noqa: SIM117
                with watching(server, tmp_path, box, found, store=box.store) as source:
                    awake(source, lambda: len(serving.asked) > 3)
                    assert box.state is State.OPEN
                    serving.answers(b"HTTP/1.1 200 OK\r\n\r\n")
                    awake(source, lambda: box.state is State.HALF_OPEN)

    def test_pods_that_lack_open_it_and_a_slow_start_does_not(self, tmp_path: Path) -> None:
        """By what is told alone; the clock tells the time."""
        for found, some, expected in (
            (deployment(2), (pod("a", ready=False, turned_s=90), pod("b", ready=False, turned_s=90)), State.OPEN),
            (ROLLING, (starting("a"), starting("b")), State.CLOSED),
        ):
            box = Wired()
            box.store.apply([policy(trip={"readyFor": "1s", "rolloutFor": "1h"})])
            with scripted(found, *some) as server:  # noqa: SIM117
                with watching(server, tmp_path, box, *box.store.table().values(), store=box.store):
                    box.passed_ms = 1_200
                    tick = Event(id="tick", source="/clock", subject=KEY, data=TimerElapsed(due_at=0))
                    box.append([tick], box.entries[0])
            assert box.state is expected


def cooled(record: Row) -> Change:
    """Open a breaker whose cool-down is over."""
    now = round(time.time() * 1000)
    breaker = BreakerState(state=State.OPEN, epoch=1, since=now - 5_000, clock=now, watermark=now, cool_down=1_000)
    return Change(breaker, record.placement)


def test_a_phase_is_told_with_it(tmp_path: Path) -> None:
    """What a rollout makes unready is told as such."""
    box = MemoryOutbox()
    with scripted(ROLLING, pod("a"), starting("b")) as server, watching(server, tmp_path, box):
        until(lambda: facts(box))

    assert facts(box) == [CapacityChanged(Role.TARGET, 1, 2, Phase.ROLLOUT)]
