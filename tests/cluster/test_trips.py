"""The whole program on a real cluster: pods that fail open a breaker, pods that are moved on purpose do not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.running import Up
from tests.cluster import manifests
from tests.cluster.moving import NEVER, Moving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.cluster import Cluster

READY_FOR_S = 3
ROLLOUT_FOR_S = 10
SLOW = "5s"
"""How long a new pod takes: longer than readyFor, shorter than rolloutFor."""
VERY_SLOW = "13s"
"""Longer than both."""

MUST: dict[str, tuple[dict[str, Any], Callable[[Moving], object], int]] = {
    "unready": ({}, lambda moving: moving.unready(2), READY_FOR_S),
    "bad-rollout": (
        {"strategy": {"type": "Recreate"}}, lambda moving: moving.roll(ready_after=NEVER), ROLLOUT_FOR_S,
    ),
    "late-rollout": (
        {"strategy": {"type": "Recreate"}, "progressDeadlineSeconds": 2},
        lambda moving: moving.roll(ready_after=NEVER), READY_FOR_S,
    ),
}  # fmt: skip
"""How the target is made, what happens to it, and after how long at the earliest its breaker opens."""

MUST_NOT: dict[str, tuple[dict[str, Any], Callable[[Moving], object], Callable[[Moving], object]]] = {
    "one-unready": ({}, lambda moving: moving.unready(1), lambda moving: moving.ready(2)),
    "rolling-update": ({}, lambda moving: moving.roll(ready_after=SLOW), lambda moving: moving.up(3)),
    "recreation": (
        {"strategy": {"type": "Recreate"}},
        lambda moving: moving.roll(ready_after=SLOW), lambda moving: moving.up(3),
    ),
    "scaled-in": ({"replicas": 4}, lambda moving: moving.scale(1), lambda moving: moving.up(1)),
    "scaled-to-nothing": ({}, lambda moving: moving.scale(0), lambda moving: moving.up(0)),
    "scaled-out": ({"replicas": 1, "ready_after": SLOW}, lambda moving: moving.scale(4), lambda moving: moving.up(4)),
    "drained": ({"ready_after": SLOW}, lambda moving: moving.drain(), lambda moving: moving.ready(3)),
    "evicted": ({"ready_after": SLOW}, lambda moving: moving.evict(2), lambda moving: moving.ready(3)),
    "deleted": ({}, lambda moving: moving.api.delete(moving.path), lambda moving: moving.ready(0)),
}  # fmt: skip
"""How the target is made, what happens to it, and how it ends."""

SPACES = [f"trips-{name}" for name in (*MUST, *MUST_NOT, "fresh")]


def policy(space: str) -> dict[str, Any]:
    """Return the policy of a namespace, with short times."""
    return {
        "apiVersion": "fuseboard.dev/v1alpha1",
        "kind": "CircuitBreaker",
        "metadata": {"name": "login", "namespace": space},
        "spec": {
            "target": {"name": "login", "minReady": 2},
            "trip": {"readyFor": f"{READY_FOR_S}s", "rolloutFor": f"{ROLLOUT_FOR_S}s"},
        },
    }


@pytest.fixture(scope="module")
def up(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run the program for all namespaces, each with its target up; but for the one that is to be fresh."""
    for space in SPACES:
        cluster.api.apply(manifests.namespace(space))
    made = {**MUST, **MUST_NOT}
    for name, (how, _, _) in made.items():
        Moving(cluster, f"trips-{name}").make(**how)
    for name, (how, _, _) in made.items():
        Moving(cluster, f"trips-{name}").up(how.get("replicas", 3))
    options = ("--kubeconfig", str(cluster.kubeconfig()))
    with Up(tmp_path_factory.mktemp("up"), *map(policy, SPACES), options=options) as running:
        yield running
    for space in SPACES:
        cluster.api.delete(f"/api/v1/namespaces/{space}")


def found(up: Up, name: str) -> dict[str, Any]:
    """Return a breaker."""
    breaker: dict[str, Any] = up.breaker(f"trips-{name}/login")
    return breaker


@pytest.mark.parametrize("name", MUST)
def test_what_must_trip(cluster: Cluster, up: Up, name: str) -> None:
    """Too few pods are ready, and nobody is at work on it, or for too long."""
    _, act, after_s = MUST[name]
    began = time.monotonic()
    act(Moving(cluster, f"trips-{name}"))
    up.wait_for(lambda: found(up, name)["state"] == "OPEN", after_s + 15)

    assert time.monotonic() - began >= after_s
    assert "minReady is 2" in found(up, name)["reason"]


@pytest.mark.parametrize("name", MUST_NOT)
def test_what_must_not_trip(cluster: Cluster, up: Up, name: str) -> None:
    """Pods come and go because somebody wants it so."""
    _, act, ends = MUST_NOT[name]
    moving = Moving(cluster, f"trips-{name}")
    act(moving)
    ends(moving)
    time.sleep(READY_FOR_S + 2)

    assert (found(up, name)["state"], found(up, name)["epoch"]) == ("CLOSED", 0)


def test_a_slow_start_does_not_trip_and_what_follows_does(cluster: Cluster, up: Up) -> None:
    """A target that was just made takes its time; once it was available it has no excuse."""
    moving = Moving(cluster, "trips-fresh")
    moving.make(ready_after=VERY_SLOW)
    moving.up()
    time.sleep(1)
    assert (found(up, "fresh")["state"], found(up, "fresh")["epoch"]) == ("CLOSED", 0)

    moving.unready(3)
    up.wait_for(lambda: found(up, "fresh")["state"] == "OPEN", READY_FOR_S + 10)
