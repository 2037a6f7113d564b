"""What a pod says of itself: who serves, who leaves, what died."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.errors import InvalidInput
from fuseboard.testing.objects import MADE, container, end, pod, starting
from fuseboard.workloads.pods import carry_over, container_failures, read_pod

if TYPE_CHECKING:
    from fuseboard.events.types import Failure
    from fuseboard.testing.objects import Manifest

RUNS = pod(containers=(container(),))


def died(before: Manifest | None, found: Manifest, since: int = MADE) -> list[Failure]:
    """Return what has died."""
    known = read_pod(before) if before is not None else None
    return list(container_failures(known, read_pod(found), since))


def test_ready_is_what_serves() -> None:
    """Ready and not on its way out; one that leaves is Ready to Kubernetes until it is gone."""
    assert read_pod(pod()).is_ready
    assert not read_pod(pod(ready=False)).is_ready
    assert not read_pod(pod(leaving=True)).is_ready
    assert not read_pod({**pod(), "status": {}}).is_ready


def test_what_was_never_ready_is_told_from_what_is_ready_no_longer() -> None:
    """A kubelet's first word is that a pod is not ready; a later one is that it no longer is."""
    assert not read_pod(starting()).was_ready
    assert read_pod(pod(ready=False, turned_s=30)).was_ready
    assert not read_pod(pod(ready=False, turned_s=30, startTime=None)).was_ready


def test_what_was_ready_is_remembered() -> None:
    """Stamps are whole seconds: what was seen counts as well."""
    seen = carry_over(read_pod(pod(turned_s=1)), read_pod(starting()))

    assert seen.was_ready
    assert not carry_over(None, read_pod(starting())).was_ready
    assert not carry_over(read_pod(starting()), read_pod(starting())).was_ready


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (starting(), True),
        (starting(containers=(container(waiting="ContainerCreating"),)), True),
        (starting(containers=(container(waiting="ImagePullBackOff"),)), False),
        (starting(containers=(container(waiting="CrashLoopBackOff", last=end()),)), False),
        (starting(containers=(container(restarts=1),)), False),
        (starting(leaving=True), False),
        (pod(), False),
        (pod(ready=False, turned_s=30), False),
    ],
)
def test_a_pod_that_starts_has_not_failed_yet(found: Manifest, *, expected: bool) -> None:
    """Slow is no failure; an image that is not there, or a crash, is one."""
    assert read_pod(found).is_starting is expected


def test_what_leaves_is_planned() -> None:
    """Deleted, or told to leave and not deleted yet."""
    assert read_pod(pod(leaving=True)).is_planned_away
    assert read_pod(pod(disrupted_s=40)).is_planned_away
    assert not read_pod(pod(ready=False)).is_planned_away


def test_the_deployment_is_told_by_the_replica_sets_name() -> None:
    """A ReplicaSet is called NAME-HASH, and its pods carry the hash; one made by hand is nobody's by its name."""
    assert read_pod(pod()).deployment == "login"
    assert read_pod(pod(owner=("ReplicaSet", "login", "u"))).deployment == ""
    assert read_pod(pod(owner=("StatefulSet", "login", "u"))).deployment == ""
    assert read_pod(pod(owner=("", "", ""))).owner == ("", "", "")


def test_a_container_that_died_is_an_occurrence() -> None:
    """With the kubelet's reason, a key of its own and its container: K5."""
    (failure,) = died(RUNS, pod(containers=(container(restarts=1, last=end()),)))

    assert (failure.key, failure.reason, failure.cause) == ("uid-a/app/1", "OOMKilled", "OOMKilled Pod/a")
    assert (failure.container, failure.started_at) == ("app", MADE + 50_000)


def test_one_death_has_one_key_whatever_the_container_does_next() -> None:
    """Ended, waiting to be started again, running again: the count grows with the last of them only."""
    stages = [
        container(ended=end()),
        container(waiting="CrashLoopBackOff", last=end()),
        container(restarts=1, last=end()),
    ]
    keys = [died(RUNS, pod(containers=(each,)))[0].key for each in stages]

    assert keys == ["uid-a/app/1"] * 3
    for before, later in pairwise(stages):
        assert died(pod(containers=(before,)), pod(containers=(later,))) == []


def test_the_next_death_is_another() -> None:
    """A second crash counts, with its own reason."""
    first = pod(containers=(container(restarts=1, last=end()),))
    second = pod(containers=(container(restarts=1, ended=end("Error", 1), last=end()),))

    assert [each.key for each in died(first, second)] == ["uid-a/app/2"]
    assert [each.reason for each in died(first, second)] == ["Error"]


def test_init_containers_are_named_as_such() -> None:
    """So that they can be rated by themselves: K20."""
    found = pod(initContainerStatuses=[container("migrate", ended=end("Error", 1))])
    (failure,) = died(RUNS, found)

    assert (failure.container, failure.key) == ("initContainers/migrate", "uid-a/initContainers/migrate/1")


@pytest.mark.parametrize(
    "found",
    [
        pod(containers=(container(restarts=1, last=end("Completed", 0)),)),
        pod(leaving=True, containers=(container(ended=end("Error", 143)),)),
        pod(disrupted_s=40, containers=(container(ended=end("Error", 137)),)),
        pod(containers=(container(restarts=1),)),
        pod(containers=(container(waiting="ImagePullBackOff"),)),
    ],
)
def test_what_is_no_death(found: Manifest) -> None:
    """Exit 0, what a pod that leaves does, a count without a reason, what never ran."""
    assert died(RUNS, found) == []


def test_of_a_pod_not_known_only_what_died_just_now_counts() -> None:
    """A first list shows deaths of long ago: K10."""
    found = pod(containers=(container(restarts=7, last=end(after_s=50)),))

    assert [each.key for each in died(None, found, MADE + 49_000)] == ["uid-a/app/7"]
    assert died(None, found, MADE + 50_000) == []


def test_a_kubelets_clock_does_not_decide_about_what_was_seen() -> None:
    """The API server's stamp of the change counts, and the kubelet's is kept: K25."""
    fields = [{"time": "2023-11-14T22:20:00Z", "subresource": "status"}, {"time": "2099-01-01T00:00:00Z"}]
    found = pod(containers=(container(ended=end()),))
    found["metadata"]["managedFields"] = fields
    (failure,) = died(RUNS, found)

    assert failure.started_at == MADE + 400_000
    assert failure.emitted_at == MADE + 50_000


@pytest.mark.parametrize(
    ("containers", "name", "cause"),
    [
        ((container(waiting="CrashLoopBackOff", last=end()),), "app", "OOMKilled"),
        ((container(waiting="ImagePullBackOff"),), "app", "ImagePullBackOff"),
        ((container(waiting="CreateContainerConfigError", last=end()),), "app", "CreateContainerConfigError"),
        ((container(waiting="ContainerCreating"),), "app", ""),
        ((container("proxy"), container(restarts=2, last=end("Error", 1))), "", "Error"),
        ((container("proxy", restarts=1, last=end()), container()), "app", ""),
    ],
)
def test_the_cause_behind_an_event(containers: tuple[Manifest, ...], name: str, cause: str) -> None:
    """What the container died of, or why it cannot start; another container's is none."""
    assert read_pod(pod(containers=containers)).cause(name) == cause


@pytest.mark.parametrize("wrong", [{}, {"metadata": {}}, {"metadata": {"uid": 1, "name": "a", "namespace": "b"}}])
def test_what_is_no_pod_says_so(wrong: dict[str, Any]) -> None:
    """It is left out, and holds up nothing."""
    with pytest.raises(InvalidInput, match="not a Pod"):
        read_pod(wrong)


def test_text_of_a_runtime_is_fit_to_be_shown() -> None:
    """A reason with control characters reaches no terminal."""
    (failure,) = died(RUNS, pod(containers=(container(ended=end("\x1b[31mOOM" + "x" * 500)),)))

    assert failure.reason.isprintable()
    assert len(failure.reason) <= 128
