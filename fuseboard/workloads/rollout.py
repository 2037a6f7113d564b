"""What a workload goes through: is it short of ready pods on purpose?

Pure: told by what Deployment, StatefulSet and pods say of themselves. The rules stand in one table; the first that
holds decides. What a phase means for a breaker is the breaker's to say.

*Rolled out* is ``kubectl rollout status``' rule (``polymorphichelpers/rollout_status.go``), with one thing added: a
Deployment whose controller has said ``NewReplicaSetAvailable`` is done until the next change of its template, so that
pods which then fail, or are too few because of a quota, are not taken for a rollout. One that has exceeded its progress
deadline, or is paused, is steady.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuseboard.events.types import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fuseboard.workloads.pods import Pod
    from fuseboard.workloads.status import WorkloadStatus


LONGEST_MS: Final = 10 * 60_000
"""A disruption excuses no longer, nor does youth: as long as a Deployment's progress deadline is by default."""


@dataclass(frozen=True, slots=True)
class View:
    """All that decides about a phase."""

    status: WorkloadStatus
    pods: Sequence[Pod]
    now: int
    template: str = ""
    """What was rolled out when its controller had looked last; empty where that was not seen."""
    was_available: bool = False
    disrupted_at: int = 0
    """When the last of its pods was told to leave, since it was last complete."""

    @property
    def ready(self) -> int:
        """How many of its pods are ready."""
        return sum(pod.is_ready for pod in self.pods)

    @property
    def starting(self) -> int:
        """How many of its pods are new, and well as far as is known."""
        return sum(pod.is_starting for pod in self.pods)


def phase(view: View) -> Phase:
    """Return the phase of a workload."""
    return next((found for found, holds in RULES if holds(view)), Phase.STEADY)


def _is_fresh(view: View) -> bool:
    status = view.status
    young = view.now < status.created_at + LONGEST_MS or (status.is_rolling and status.has_deadline)
    return young and not (status.is_late or status.is_available or status.was_available or view.was_available)


def _is_rolled_out(view: View) -> bool:
    status = view.status
    # Scaling it is a change that its controller must look at, too, and no rollout.
    changed = status.is_behind and status.template != view.template
    return (status.is_rolling or changed) and not status.is_late


def _is_disrupted(view: View) -> bool:
    return view.ready < view.status.desired and view.now < view.disrupted_at + LONGEST_MS


def _grows(view: View) -> bool:
    """Say whether all that is missing are pods that have just been made."""
    missing = view.status.desired - view.ready
    return 0 < missing <= view.starting and not view.status.is_late


RULES: Final[tuple[tuple[Phase, Callable[[View], bool]], ...]] = (
    (Phase.FRESH, _is_fresh),
    (Phase.ROLLOUT, _is_rolled_out),
    (Phase.DISRUPTION, _is_disrupted),
    (Phase.ROLLOUT, _grows),
)
