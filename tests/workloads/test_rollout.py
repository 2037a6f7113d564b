"""What a workload goes through: planned work is told from failures by what the objects say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.events.types import Phase
from fuseboard.testing.objects import MADE, condition, container, deployment, pod, starting, stateful_set
from fuseboard.workloads import pods
from fuseboard.workloads.rollout import MAX_EXCUSE_MS, WorkloadView, phase
from fuseboard.workloads.status import read_workload

if TYPE_CHECKING:
    from fuseboard.testing.objects import Manifest

LATER = MADE + 3_600_000
UP = (pod("a"), pod("b"), pod("c"))
GOING = condition("Progressing", reason="ReplicaSetUpdated")
LATE = condition("Progressing", "False", "ProgressDeadlineExceeded", 700)
AVAILABLE = condition("Available")
SINCE_LONG = condition("Available", "False", after_s=3_000)
NEVER = condition("Available", "False")
DONE = condition("Progressing", reason="NewReplicaSetAvailable")
PAUSED = deployment(conditions=(AVAILABLE, GOING), updatedReplicas=1, spec_paused=True)


def of(found: Manifest, *some: Manifest, kind: str = "Deployment", **known: Any) -> Phase:  # noqa: ANN401
    """Return the phase of a workload with these pods; an hour later, unless said otherwise."""
    view = {"template": read_workload(kind, found).template, "now": LATER, **known}
    return phase(WorkloadView(read_workload(kind, found), [pods.read_pod(each) for each in some], **view))


@pytest.mark.parametrize(
    ("found", "some", "expected"),
    [
        pytest.param(deployment(), UP, Phase.STEADY, id="all well"),
        pytest.param(deployment(), UP[:2], Phase.STEADY, id="a pod is missing"),
        pytest.param(
            deployment(conditions=(SINCE_LONG, DONE), availableReplicas=1),
            UP[:1],
            Phase.STEADY,
            id="pods of a finished rollout fail",
        ),
        pytest.param(deployment(2), UP, Phase.STEADY, id="scaled in"),
        pytest.param(deployment(5, replicas=3, updatedReplicas=3), UP, Phase.STEADY, id="a quota forbids more pods"),
        pytest.param(deployment(5), (*UP, starting("d"), starting("e")), Phase.ROLLOUT, id="scaled out"),
        pytest.param(deployment(1), (starting("a"),), Phase.ROLLOUT, id="scaled from nothing"),
        pytest.param(
            deployment(5), (*UP, starting("d"), starting("e", containers=(container(waiting="ErrImagePull"),))),
            Phase.STEADY, id="scaled out, and one fails",
        ),
        pytest.param(deployment(conditions=(AVAILABLE, GOING), updatedReplicas=1), UP, Phase.ROLLOUT, id="one is new"),
        pytest.param(deployment(conditions=(AVAILABLE, GOING), replicas=4), UP, Phase.ROLLOUT, id="one is old"),
        pytest.param(
            deployment(conditions=(SINCE_LONG, GOING), availableReplicas=0), (), Phase.ROLLOUT, id="recreated",
        ),
        pytest.param(
            deployment(conditions=(SINCE_LONG, DONE), replicas=0, updatedReplicas=0, availableReplicas=0),
            (pod("a", leaving=True),), Phase.ROLLOUT, id="recreated, its old pods take their time",
        ),
        pytest.param(deployment(replicas=4), UP, Phase.ROLLOUT, id="rolled back to a ReplicaSet that is there"),
        pytest.param(deployment(conditions=(AVAILABLE, LATE), updatedReplicas=1), UP, Phase.STEADY, id="late"),
        pytest.param(
            deployment(conditions=(AVAILABLE, LATE), updatedReplicas=1), (*UP[:2], starting()), Phase.STEADY,
            id="late, its new pod never ready",
        ),
        pytest.param(
            deployment(conditions=(AVAILABLE,), updatedReplicas=1), UP, Phase.ROLLOUT, id="without a deadline",
        ),
        pytest.param(
            deployment(conditions=(SINCE_LONG,), availableReplicas=1), UP[:1], Phase.STEADY,
            id="without a deadline, pods fail",
        ),
        pytest.param(
            PAUSED, UP, Phase.STEADY, id="paused",
        ),
        pytest.param(deployment(0), (), Phase.STEADY, id="scaled to nothing"),
    ],
)  # fmt: skip
def test_a_deployments_phase(found: Manifest, some: tuple[Manifest, ...], expected: Phase) -> None:
    """By the rule of kubectl rollout status; what fails after a rollout, or for too long, has no excuse: K27."""
    assert of(found, *some) is expected


@pytest.mark.parametrize(
    ("found", "some", "expected"),
    [
        pytest.param(stateful_set(), UP, Phase.STEADY, id="all well"),
        pytest.param(stateful_set(readyReplicas=2), UP[:2], Phase.STEADY, id="a pod fails"),
        pytest.param(stateful_set(2), UP, Phase.STEADY, id="scaled in"),
        pytest.param(stateful_set(updateRevision="login-b", updatedReplicas=1), UP, Phase.ROLLOUT, id="one is new"),
        pytest.param(stateful_set(updateRevision="login-b", readyReplicas=2), UP[:2], Phase.ROLLOUT, id="the last one"),
        pytest.param(
            stateful_set(
                updateRevision="login-b", updatedReplicas=1,
                spec_updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
            ),
            UP, Phase.STEADY, id="as far as its partition",
        ),
        pytest.param(
            stateful_set(
                updateRevision="login-b", updatedReplicas=0,
                spec_updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
            ),
            UP, Phase.ROLLOUT, id="not as far as its partition",
        ),
        pytest.param(
            stateful_set(updateRevision="login-b", updatedReplicas=1, spec_updateStrategy={"type": "OnDelete"}),
            UP, Phase.STEADY, id="by hand",
        ),
    ],
)  # fmt: skip
def test_a_stateful_sets_phase(found: Manifest, some: tuple[Manifest, ...], expected: Phase) -> None:
    """Its revisions differ until the last pod is ready; a partition and OnDelete leave them so on purpose."""
    assert of(found, *some, kind="StatefulSet", was_available=True) is expected


class TestFresh:
    """Never available since it was made."""

    NEW = deployment(conditions=(NEVER, GOING), availableReplicas=0)

    def test_a_slow_start_is_fresh_until_its_deadline(self) -> None:
        """However long it takes, up to what the user set as progressDeadlineSeconds."""
        assert of(self.NEW, starting()) is Phase.FRESH
        assert of(deployment(conditions=(NEVER, LATE)), starting()) is Phase.STEADY

    def test_what_was_available_is_not(self) -> None:
        """Seen by this watcher, or told by the stamp of the condition."""
        assert of(self.NEW, starting(), was_available=True) is Phase.ROLLOUT
        assert of(deployment(conditions=(SINCE_LONG, GOING), availableReplicas=0), starting()) is Phase.ROLLOUT

    def test_without_a_deadline_youth_ends(self) -> None:
        """Ten minutes, as a deadline is by default."""
        found = deployment(conditions=(NEVER,), updatedReplicas=0)

        assert of(found, now=MADE + MAX_EXCUSE_MS - 1) is Phase.FRESH
        assert of(found, now=MADE + MAX_EXCUSE_MS) is not Phase.FRESH

    def test_before_its_controller_has_looked(self) -> None:
        """It has no status at all."""
        found = deployment() | {"status": {}}

        assert of(found, now=MADE + 1_000) is Phase.FRESH

    def test_a_stateful_set_starts_one_by_one(self) -> None:
        """Without conditions, its first ten minutes count, until all are ready."""
        found = stateful_set(readyReplicas=1)

        assert of(found, pod(), kind="StatefulSet", now=MADE + 60_000) is Phase.FRESH
        assert of(found, pod(), kind="StatefulSet", now=MADE + 60_000, was_available=True) is Phase.STEADY
        assert of(found, pod(), kind="StatefulSet", now=MADE + MAX_EXCUSE_MS) is Phase.STEADY


class TestBehind:
    """Its controller has not looked at its last change yet."""

    def test_another_template_is_a_rollout(self) -> None:
        """Before the first pod is touched."""
        assert of(deployment(meta_generation=2), *UP, template="another") is Phase.ROLLOUT
        assert of(deployment(meta_generation=2), *UP, template="") is Phase.ROLLOUT

    def test_scaling_is_none(self) -> None:
        """Replicas are part of the spec, too."""
        assert of(deployment(2, meta_generation=2, replicas=3, updatedReplicas=3), *UP) is Phase.STEADY


class TestDisrupted:
    """Somebody told pods to leave."""

    def test_until_ready_is_back(self) -> None:
        """A drain, an eviction, a preemption: the missing pods are on their way to another node."""
        assert of(deployment(), *UP[:2], disrupted_at=LATER - 60_000) is Phase.DISRUPTION
        assert of(deployment(), *UP, disrupted_at=LATER - 60_000) is Phase.STEADY

    def test_it_is_an_excuse_for_ten_minutes(self) -> None:
        """A pod that found no place by then is missing."""
        assert of(deployment(), *UP[:2], disrupted_at=LATER - MAX_EXCUSE_MS + 1) is Phase.DISRUPTION
        assert of(deployment(), *UP[:2], disrupted_at=LATER - MAX_EXCUSE_MS) is Phase.STEADY

    def test_a_late_rollout_may_be_disrupted(self) -> None:
        """One is no excuse any more, the other is."""
        found = deployment(conditions=(AVAILABLE, LATE), updatedReplicas=1)

        assert of(found, *UP[:2], disrupted_at=LATER - 1) is Phase.DISRUPTION
