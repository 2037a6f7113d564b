"""Whom a pod belongs to: read once, and never asked for twice in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.errors import ClusterUnavailable, Refused
from fuseboard.signals.targets import InvolvedObject
from fuseboard.workloads.owners import NO_OWNER, OwnerResolver

if TYPE_CHECKING:
    from collections.abc import Mapping

POD = "/api/v1/namespaces/shop/pods/login-7d9-x2x4z"
SET = "/apis/apps/v1/namespaces/shop/replicasets/login-7d9"
ABOUT = InvolvedObject("shop", "Pod", "login-7d9-x2x4z")


def owned(uid: str, kind: str = "", name: str = "", owner: str = "") -> dict[str, Any]:
    """Return an object, and who controls it."""
    others = [{"kind": "Nobody", "name": "minds", "uid": "x"}]
    references = [{"kind": kind, "name": name, "uid": owner, "controller": True}] if kind else []
    return {"metadata": {"uid": uid, "ownerReferences": [*others, *references]}}


class Reader:
    """Objects by path; what is an error is raised, what is not there is gone."""

    def __init__(self, **objects: Any) -> None:  # noqa: ANN401  - an object or an error
        self.objects = {POD: objects.get("pod"), SET: objects.get("set")}
        self.asked: list[str] = []
        self.now = 1_000.0

    def __call__(self, path: str) -> Mapping[str, Any]:
        self.asked.append(path)
        found = self.objects.get(path) or Refused("404: gone")
        if isinstance(found, Exception):
            raise found
        return dict(found)

    @property
    def resolver(self) -> OwnerResolver:
        """Return a resolver that reads here."""
        return OwnerResolver(self, lambda: self.now)


def test_the_chain_is_read_once() -> None:
    """Pod, ReplicaSet, Deployment: two reads for any number of Events: K22."""
    reader = Reader(pod=owned("p", "ReplicaSet", "login-7d9", "r"), set=owned("r", "Deployment", "login", "d"))
    resolver = reader.resolver

    for _ in range(3):
        assert resolver.owners(ABOUT, "p") == (("ReplicaSet", "login-7d9"), ("Deployment", "login"))
    assert reader.asked == [POD, SET]


@pytest.mark.parametrize("kind", ["StatefulSet", "Job", "Revision"])
def test_an_owner_of_another_kind_ends_the_chain(kind: str) -> None:
    """A StatefulSet is the workload itself, and a Job is nobody's target: K22."""
    assert Reader(pod=owned("p", kind, "login", "s")).resolver.owners(ABOUT, "p") == ((kind, "login"),)


def test_a_pod_that_was_made_by_hand_is_nobodys() -> None:
    """However much its name looks like a Deployment's pod."""
    assert Reader(pod=owned("p")).resolver.owners(ABOUT, "p") == NO_OWNER


def test_another_one_of_the_same_name_is_not_it() -> None:
    """A uid tells a pod from its successor: K19."""
    assert Reader(pod=owned("new", "StatefulSet", "login", "s")).resolver.owners(ABOUT, "old") == ()


@pytest.mark.parametrize("refused", [None, Refused("403: forbidden")])
def test_what_is_gone_or_forbidden_is_not_asked_for_again_at_once(refused: Exception | None) -> None:
    """The name decides for a minute, then it is asked again: K19, K22."""
    reader = Reader(pod=refused)
    resolver = reader.resolver
    assert [resolver.owners(ABOUT, "p") for _ in range(5)] == [()] * 5
    assert len(reader.asked) == 1

    reader.now += 61
    resolver.owners(ABOUT, "p")
    assert len(reader.asked) == 2


def test_without_the_replica_set_its_name_is_known() -> None:
    """The ReplicaSet that cannot be read is named by its pod: its name tells the Deployment."""
    reader = Reader(pod=owned("p", "ReplicaSet", "login-7d9", "r"))

    assert reader.resolver.owners(ABOUT, "p") == (("ReplicaSet", "login-7d9"),)


def test_an_api_server_that_does_not_answer_is_left_alone() -> None:
    """Signals don't wait for one read per pod: for five seconds nothing is asked at all."""
    reader = Reader(pod=ClusterUnavailable("timeout"))
    resolver = reader.resolver
    for number in range(50):
        assert resolver.owners(InvolvedObject("shop", "Pod", f"login-7d9-{number}"), "p") == ()
    resolver.owners(ABOUT, "p")
    count = len(reader.asked)
    reader.now += 6
    resolver.owners(ABOUT, "q")

    assert count <= 51
    assert reader.asked[-1] == POD


@pytest.mark.parametrize(
    "about",
    [
        InvolvedObject("shop", "Deployment", "login"),
        InvolvedObject("shop", "Service", "login"),
        InvolvedObject("", "Node", "node-a"),
        InvolvedObject("shop", "Pod", "../../../secrets/x"),
        InvolvedObject("shop", "Pod", "a?watch=1"),
        InvolvedObject("a/b", "Pod", "login"),
        InvolvedObject("shop", "Pod", ""),
        InvolvedObject("shop", "Pod", "x" * 300),
    ],
)
def test_nothing_is_asked_about_what_is_no_pod(about: InvolvedObject) -> None:
    """A workload is its own owner, and text that is no name reaches no path: A27."""
    reader = Reader()

    assert reader.resolver.owners(about, "u") == ()
    assert reader.asked == []


def test_memory_is_bounded() -> None:
    """The pod not heard of for the longest time is forgotten first: I18."""
    reader = Reader()
    resolver = reader.resolver
    for number in range(9_000):
        resolver.owners(InvolvedObject("shop", "Pod", f"p-{number}"), "u")

    assert len(resolver._cache) == 8_192
