"""The Kubernetes Event of a transition."""

from __future__ import annotations

from typing import Any

import pytest

from fuseboard.cluster.names import OWN
from fuseboard.crd.conditions import MESSAGE_LENGTH
from fuseboard.crd.transition_event import transition_event
from fuseboard.events.types import BreakerClosed, BreakerHalfOpened, BreakerLimited, BreakerMoved, BreakerOpened
from fuseboard.testing.policies import policy
from fuseboard.workloads.events import read_event

NOW = 1_700_000_000_000
POLICY = policy(mode="Enforce")


def moved(kind: type[BreakerMoved], **changes: Any) -> BreakerMoved:  # noqa: ANN401  - any field
    """Return a transition."""
    told: dict[str, Any] = {
        "state": "OPEN",
        "previous": "CLOSED",
        "epoch": 3,
        "mode": "Enforce",
        "since": NOW,
        "reason": "why",
    }
    return kind(**told | changes)


@pytest.mark.parametrize(
    ("kind", "type_"),
    [(BreakerLimited, "Warning"), (BreakerOpened, "Warning"), (BreakerHalfOpened, "Normal"), (BreakerClosed, "Normal")],
)
def test_a_transition_is_an_event_on_the_target(kind: type[BreakerMoved], type_: str) -> None:
    """It warns of what got worse; it is ours, so that it is no evidence against the target."""
    event = transition_event(POLICY, moved(kind), "u")
    assert (event["type"], event["reason"]) == (type_, kind.__name__)
    assert event["involvedObject"] == {
        "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "login", "uid": "u",
    }  # fmt: skip
    event["metadata"] |= {"uid": "e", "resourceVersion": "1"}
    report = read_event(event)
    assert (report.reporter, report.is_failure, report.emitted_at) == (OWN, False, NOW)


def test_the_same_transition_has_the_same_name_and_no_other_has() -> None:
    """A duplicate is refused by its name; after a loss of memory an epoch that comes again is another one."""
    names = [
        transition_event(POLICY, moved(BreakerOpened, **changes), "")["metadata"]["name"]
        for changes in ({}, {}, {"epoch": 4}, {"since": NOW + 1})
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert "uid" not in transition_event(POLICY, moved(BreakerOpened), "")["involvedObject"]


def test_an_event_says_no_more_than_may_be_said() -> None:
    """The API server refuses a note of more than 1,024 characters."""
    assert len(transition_event(POLICY, moved(BreakerOpened, reason="x" * 5_000), "")["message"]) == MESSAGE_LENGTH
