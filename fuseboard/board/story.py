"""What led a breaker to where it is, out of its journal: transitions, what counted for each, and the steps after it.

The journal may be an older or a newer version's: what is not known here is left out, and what is missing is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from fuseboard.errors import RecordCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COUNTS: Final = ("counted", "renewed")


class _JournalPart(Struct, frozen=True, rename="camel"):
    """A part of an entry, as it is read here."""


class _Failure(_JournalPart, frozen=True):
    key: str = ""
    cause: str = ""
    condition: str = ""


class Signal(_JournalPart, frozen=True):
    """What an event said: failures, what an operator asked for, or how many pods are ready."""

    failures: tuple[_Failure, ...] = ()
    action: str = ""
    operator: str = ""
    reason: str = ""
    duration_ms: int = 0
    role: str = ""
    ready: int = 0
    desired: int = 0
    phase: str = ""
    probe: str = ""


class _Weighed(_JournalPart, frozen=True):
    key: str = ""
    verdict: str = ""
    weight: int = 0
    kind: str = field(name="class", default="")
    critical: str = ""
    attributed: str = ""


class JournalLine(_JournalPart, frozen=True):
    """An entry of the journal."""

    kind: str = ""
    at: str = ""
    type: str = ""
    signal: Signal | None = None
    weighed: tuple[_Weighed, ...] = ()
    previous: str = ""
    state: str = ""
    epoch: int = 0
    step: int = 0
    result: str = ""
    reason: str = ""
    shares: dict[str, int] = {}
    rehearsed: bool = False
    patch: Any = None

    @property
    def request(self) -> Signal | None:
        """What an operator asked for, if one did."""
        return self.signal if self.signal is not None and self.signal.action else None

    @property
    def capacity(self) -> Signal | None:
        """What was told of a workload's pods, if that was told."""
        return self.signal if self.signal is not None and self.signal.role else None


class CauseSummary(Struct, frozen=True, rename="camel"):
    """Failures of one cause, and what became of them."""

    cause: str
    kind: str = field(name="class", default="")
    weight: int = 0
    critical: str = ""
    attributed: str = ""
    verdicts: dict[str, int] = {}


class Part(Struct, frozen=True, rename="camel"):
    """What happened from one transition to before the next; the newest may have none yet."""

    moved: JournalLine | None
    lines: tuple[JournalLine, ...]
    """Steps of the placement, requests of operators, edits of the policy, pods, newest first."""
    evidence: tuple[CauseSummary, ...]
    """What was weighed up to the transition, since the one before."""


def read(entries: Iterable[Any]) -> list[JournalLine]:
    """Read entries of a journal, newest first.

    Raises:
        RecordCorrupt: they are no entries at all.

    """
    try:
        return [msgspec.convert(each, JournalLine) for each in entries]
    except msgspec.ValidationError as error:
        raise RecordCorrupt(f"the journal cannot be read here ({error}): is this Fuseboard the older one?") from error


def parts(lines: Sequence[JournalLine], last: int) -> list[Part]:
    """Return the last parts of a journal, newest first."""
    found: list[Part] = []
    part: list[JournalLine] = []
    for line in reversed(lines):
        if line.previous:
            found.append(_part(found, part, line))
            part = []
        else:
            part.append(line)
    newest = Part(None, _told(part), _fold(part))
    *earlier, latest = _belonging(found, newest) or [newest]
    return [latest, *earlier[::-1]][: last if latest.moved else last + 1]


def _part(before: list[Part], lines: list[JournalLine], moved: JournalLine) -> Part:
    """Return a transition with what was weighed since the one before; its steps come after it."""
    if before:
        before[-1] = replace(before[-1], lines=_told(lines))
    return Part(moved, (), _fold([*lines, moved]))


def _belonging(found: list[Part], newest: Part) -> list[Part]:
    """Give the steps since the last transition to it; what was weighed since has no transition yet."""
    if found:
        found[-1] = replace(found[-1], lines=newest.lines)
        newest = replace(newest, lines=())
    return [*found, newest] if newest.evidence or newest.lines else found


def _told(lines: Iterable[JournalLine]) -> tuple[JournalLine, ...]:
    """Return what is told one by one, newest first: of a workload's pods only the last."""
    shown: list[JournalLine] = []
    roles: set[str] = set()
    for line in reversed(list(lines)):
        known = line.capacity
        if known is not None and known.role not in roles:
            roles.add(known.role)
            shown.append(line)
        elif line.request or line.kind not in ("step", "intent"):
            shown.append(line)
    return tuple(shown)


def _fold(lines: Iterable[JournalLine]) -> tuple[CauseSummary, ...]:
    """Fold what was weighed by its cause, the heaviest first."""
    found: dict[str, tuple[CauseSummary, dict[str, int]]] = {}
    for line in lines:
        failures = {each.key: each for each in line.signal.failures} if line.signal is not None else {}
        for weighed in line.weighed:
            failure = failures.get(weighed.key, _Failure(cause=weighed.key))
            known, weights = found.get(failure.cause, (CauseSummary(failure.cause), {}))
            if weighed.verdict in _COUNTS:
                weights = {**weights, failure.condition or failure.key: weighed.weight}
            found[failure.cause] = _with(known, weighed, sum(weights.values())), weights
    return tuple(sorted((each for each, _ in found.values()), key=lambda each: -each.weight))


def _with(known: CauseSummary, weighed: _Weighed, weight: int) -> CauseSummary:
    return replace(
        known,
        kind=weighed.kind or known.kind,
        weight=weight,
        critical=weighed.critical or known.critical,
        attributed=weighed.attributed or known.attributed,
        verdicts={**known.verdicts, weighed.verdict: known.verdicts.get(weighed.verdict, 0) + 1},
    )
