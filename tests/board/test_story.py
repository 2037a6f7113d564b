"""The history of a breaker, from entries as the journal has them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fuseboard.board.story import CauseSummary, journal_json, part_json, parts, signal_of
from fuseboard.events.types import CapacityChanged, FailureDetected, OperatorRequested, type_of
from fuseboard.roles import Role
from fuseboard.stores.records import Entry


def read(entries: list[dict[str, Any]]) -> list[Entry]:
    """Read entries as the command line does."""
    return msgspec.convert(entries, list[Entry])


def weighed(verdict: str, weight: int = 0, key: str = "k", condition: str = "c", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a journal entry of a failure."""
    failure = {"key": key, "cause": "OOMKilled Pod/a", "condition": condition}
    return {
        "kind": "step",
        "type": type_of(FailureDetected),
        "signal": {"failures": [failure]},
        "weighed": [{"key": key, "verdict": verdict, "weight": weight, **more}],
    }


def pods(role: str, ready: int) -> dict[str, Any]:
    """Return an entry of a change of the ready pods."""
    signal = {"role": role, "ready": ready, "desired": 3}
    return {"kind": "step", "type": type_of(CapacityChanged), "signal": signal}


def moved(previous: str, state: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  - fields of an entry
    """Return a transition by time."""
    return {"kind": "step", "previous": previous, "state": state, **more}


def evidence(*newest_first: dict[str, Any]) -> CauseSummary:
    """Return the evidence for the only cause."""
    (part,) = parts(read(list(newest_first)), 5)
    (found,) = part.evidence
    return found


def test_a_condition_weighs_once_however_often_it_is_renewed() -> None:
    """Repeats and duplicates are counted, and add no weight."""
    found = evidence(weighed("duplicate"), weighed("renewed", 10, key="k2"), weighed("counted", 10))
    assert (found.weight, found.verdicts) == (10, {"counted": 1, "renewed": 1, "duplicate": 1})


def test_occurrences_add_up() -> None:
    """Counted occurrences weigh; stale occurrences do not."""
    found = evidence(*(weighed(each, 1, key=each + "1", condition="") for each in ("counted", "stale")))
    assert (found.weight, found.verdicts) == (1, {"stale": 1, "counted": 1})
    assert evidence(*(weighed("counted", 1, key=key, condition="") for key in "abc")).weight == 3


def test_class_rule_and_dependency_are_kept() -> None:
    """A later duplicate, which has none of them, does not hide them."""
    first = weighed("counted", 10, critical="severity critical", **{"class": "node"})
    found = evidence(weighed("duplicate"), first)
    assert (found.kind, found.critical, found.attributed) == ("node", "severity critical", "")
    assert evidence(weighed("attributed", attributed="db")).attributed == "db"


def test_evidence_belongs_to_the_transition_that_it_led_to() -> None:
    """Evidence after the last transition has no transition yet; steps belong to the transition before them."""
    entries = [
        weighed("renewed", 10),
        {"kind": "result", "epoch": 2},
        moved("LIMITED", "OPEN", epoch=2),
        weighed("counted", 10),
        {"kind": "result", "epoch": 1},
        moved("CLOSED", "LIMITED", epoch=1),
    ]
    newest, second, first = parts(read(entries), 5)
    assert (newest.moved, [each.weight for each in newest.evidence]) == (None, [10])
    assert second.moved is not None
    assert (second.moved.epoch, [line.epoch for line in second.lines], len(second.evidence)) == (2, [2], 1)
    assert first.moved is not None
    assert (first.moved.epoch, [line.epoch for line in first.lines], first.evidence) == (1, [1], ())


@pytest.mark.parametrize(("last", "epochs"), [(1, [3]), (2, [3, 2]), (9, [3, 2, 1])])
def test_only_the_last_transitions_are_shown(last: int, epochs: list[int]) -> None:
    """As many as asked for, the newest first; fewer where there are fewer."""
    entries = [moved("A", "B", epoch=epoch) for epoch in (3, 2, 1)]
    assert [part.moved.epoch for part in parts(read(entries), last) if part.moved] == epochs
    assert len(parts(read([weighed("counted"), *entries]), last)) == len(epochs) + 1


def test_requests_are_shown_and_intents_are_not() -> None:
    """An operator's request is in the history even without a transition."""
    signal = {"action": "hold", "operator": "anna", "reason": "x"}
    asked = {"kind": "step", "type": type_of(OperatorRequested), "signal": signal, "result": "stale"}
    (part,) = parts(read([{"kind": "intent"}, asked, {"kind": "policy"}]), 5)
    assert [(line.kind, line.result) for line in part.lines] == [("step", "stale"), ("policy", "")]
    assert isinstance(signal_of(part.lines[0]), OperatorRequested)
    assert signal_of(part.lines[1]) is None


def test_of_the_ready_pods_only_the_newest_are_shown() -> None:
    """The journal has each change of a rollout; the history has the last number of each workload."""
    told = [pods("target", 2), pods("standby", 1), pods("target", 0)]
    (part,) = parts(read(told), 5)
    shown = [signal_of(line) for line in part.lines]
    assert shown == [CapacityChanged(Role.TARGET, 2, 3), CapacityChanged(Role.STANDBY, 1, 3)]


def test_an_empty_journal_is_an_empty_chain() -> None:
    """A new breaker has one empty part."""
    (part,) = parts(read([]), 5)
    assert (part.moved, part.lines, part.evidence) == (None, (), ())


def test_another_versions_entries_can_be_read() -> None:
    """Unknown fields, kinds and verdicts are ignored, and missing fields are empty."""
    newer = weighed("forgiven", 1, shade="blue") | {"version": 9, "mood": {"a": 1}}
    newer["signal"]["failures"][0]["shade"] = "blue"
    (part,) = parts(read([newer, {"kind": "dream", "signal": None}, {"kind": "policy"}]), 5)
    (summary,) = part.evidence
    assert (summary.cause, summary.verdicts) == ("OOMKilled Pod/a", {"forgiven": 1})
    assert [line.kind for line in part.lines] == ["dream", "policy"]


@pytest.mark.parametrize(
    "unknown",
    [
        {"type": "dev.fuseboard.dream.dreamt"},
        {"signal": {"failures": []}},
        {"signal": {"failures": [{"key": "k", "reason": 5}]}},
        {"signal": "text"},
    ],
)
def test_evidence_of_an_unknown_signal_is_summed_up_by_its_keys(unknown: dict[str, Any]) -> None:
    """A newer version may write signals that this version cannot read; their weight is shown nevertheless."""
    found = evidence(weighed("counted", 10) | unknown)
    assert (found.cause, found.weight) == ("k", 10)


def test_history_is_json_of_journal_lines() -> None:
    """Each transition and each step is a line as the API's journal has it."""
    (part,) = parts(read([weighed("counted", 10) | moved("CLOSED", "OPEN", epoch=1, now=1_000)]), 5)
    assert part.moved is not None
    assert journal_json(part.moved)["at"] == "1970-01-01T00:00:01.000Z"
    assert part_json(part) == {
        "moved": journal_json(part.moved),
        "lines": [],
        "evidence": (
            {
                "cause": "OOMKilled Pod/a",
                "class": "",
                "weight": 10,
                "critical": "",
                "attributed": "",
                "verdicts": {"counted": 1},
            },
        ),
    }
    assert part_json(parts([], 5)[0])["moved"] is None
