"""The history of a breaker, read from its journal: transitions, the evidence for each, and the steps after each.

The journal may have been written by an older or a newer version of Fuseboard: unknown signals are skipped.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from fuseboard.events.types import (
    DATA_TYPES,
    CapacityChanged,
    Failure,
    FailureDetected,
    FailureResolved,
    OperatorRequested,
)
from fuseboard.stores.records import Entry
from fuseboard.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fuseboard.breaker.evidence import Weighed
    from fuseboard.events.types import Data
    from fuseboard.roles import Role

_COUNTS: Final = ("counted", "renewed")


class CauseSummary(Struct, frozen=True, rename="camel"):
    """The failures of a cause, and how often each verdict was given."""

    cause: str
    kind: str = field(name="class", default="")
    weight: int = 0
    critical: str = ""
    attributed: str = ""
    verdicts: dict[str, int] = {}


class Part(Struct, frozen=True):
    """A transition with the steps after it; the newest part may have no transition yet."""

    moved: Entry | None
    lines: tuple[Entry, ...]
    """Placement steps, operators' requests, policy edits and ready pods, newest first."""
    evidence: tuple[CauseSummary, ...]
    """The evidence between the previous transition and this transition, heaviest first."""


def journal_json(entry: Entry) -> dict[str, Any]:
    """Return a journal entry as the API writes it: with its time in RFC 3339."""
    return {"at": rfc3339(entry.now), **msgspec.to_builtins(entry)}


def part_json(part: Part) -> dict[str, Any]:
    """Return a part of the history as ``fuseboard explain -o json`` writes it."""
    return {
        "moved": part.moved and journal_json(part.moved),
        "lines": [journal_json(each) for each in part.lines],
        "evidence": msgspec.to_builtins(part.evidence),
    }


def signal_of(entry: Entry) -> Data | None:
    """Return the signal that an entry is about; None if there is none, or if this version cannot read it."""
    kind = DATA_TYPES.get(entry.type)
    if kind is None or entry.signal is None:
        return None
    with suppress(msgspec.ValidationError):
        return msgspec.convert(entry.signal, kind)
    return None


def parts(entries: Sequence[Entry], last: int) -> list[Part]:
    """Return the last transitions of a journal, newest first; the journal is given newest first, too."""
    found: list[Part] = []
    pending: list[Entry] = []
    for entry in reversed(entries):
        if entry.previous:
            found.append(_transition(found, pending, entry))
            pending = []
        else:
            pending.append(entry)
    newest = Part(None, _shown(pending), _summaries(pending))
    *earlier, latest = _with_newest(found, newest) or [newest]
    return [latest, *earlier[::-1]][: last if latest.moved else last + 1]


def _transition(before: list[Part], pending: list[Entry], moved: Entry) -> Part:
    """Return a transition with its evidence; give the steps since the previous transition to that transition."""
    if before:
        before[-1] = replace(before[-1], lines=_shown(pending))
    return Part(moved, (), _summaries([*pending, moved]))


def _with_newest(found: list[Part], newest: Part) -> list[Part]:
    """Give the newest steps to the last transition; the newest evidence has no transition yet."""
    if found:
        found[-1] = replace(found[-1], lines=newest.lines)
        newest = replace(newest, lines=())
    return [*found, newest] if newest.evidence or newest.lines else found


def _shown(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries that are shown singly, newest first; of the ready pods of each role only the newest."""
    shown: list[Entry] = []
    roles: set[Role] = set()
    for entry in reversed(list(entries)):
        signal = signal_of(entry)
        if isinstance(signal, CapacityChanged):
            if signal.role not in roles:
                roles.add(signal.role)
                shown.append(entry)
        elif isinstance(signal, OperatorRequested) or entry.kind not in ("step", "intent"):
            shown.append(entry)
    return tuple(shown)


def _summaries(entries: Iterable[Entry]) -> tuple[CauseSummary, ...]:
    """Sum up the evidence by cause, heaviest first."""
    found: dict[str, tuple[CauseSummary, dict[str, int]]] = {}
    for entry in entries:
        failures = _failures(entry)
        for weighed in entry.weighed:
            failure = failures.get(weighed.key) or Failure(weighed.key, cause=weighed.key)
            summary, weights = found.get(failure.cause, (CauseSummary(failure.cause), {}))
            if weighed.verdict in _COUNTS:  # a condition weighs once, however often it is renewed
                weights = {**weights, failure.condition or failure.key: weighed.weight}
            found[failure.cause] = _added(summary, weighed, sum(weights.values())), weights
    return tuple(sorted((summary for summary, _ in found.values()), key=lambda each: -each.weight))


def _failures(entry: Entry) -> dict[str, Failure]:
    signal = signal_of(entry) if entry.weighed else None
    failures = signal.failures if isinstance(signal, FailureDetected | FailureResolved) else ()
    return {each.key: each for each in failures}


def _added(summary: CauseSummary, weighed: Weighed, weight: int) -> CauseSummary:
    return replace(
        summary,
        kind=weighed.kind or summary.kind,
        weight=weight,
        critical=weighed.critical or summary.critical,
        attributed=weighed.attributed or summary.attributed,
        verdicts={**summary.verdicts, weighed.verdict: summary.verdicts.get(weighed.verdict, 0) + 1},
    )
