"""How often something that is due comes again while nobody settles it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from fuseboard.breaker.evidence import Weighed
from fuseboard.breaker.placement import Placement
from fuseboard.breaker.state import BreakerState
from fuseboard.breaker.step import next_due
from fuseboard.times import back_off

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.breaker.row import Row

FIRST_AGAIN_MS: Final = 5_000
LAST_AGAIN_MS: Final = 60_000

JOURNAL_VERSION: Final = 1
JOURNAL_CAP: Final = 1_000
"""Entries kept per breaker; the journal function exports them before they go."""
TIMER: Final = "timer"
DEBT: Final = "debt"


def next_attempt(now: int, attempts: int) -> int:
    """Return when it comes again, in milliseconds since 1970: after 5 s, 10 s, 20 s, 40 s, then every minute."""
    return now + back_off(FIRST_AGAIN_MS, attempts, LAST_AGAIN_MS)


def dues(row: Row) -> dict[str, int]:
    """Return when the clock must wake somebody for this breaker, by what for."""
    found = {}
    timer = next_due(row)
    if timer is not None:
        found[TIMER] = timer
    debt = row.debt_due
    if debt is not None:
        found[DEBT] = debt
    return found


def dues_after(row: Row, written: Mapping[str, int]) -> dict[str, int]:
    """Return what is to be written for the clock, where this was written before.

    A timer that comes too early finds nothing to do and waits for the right time: one that is on its way is not
    put off. So the repeats of an alert, which make its lease longer, write nothing.
    """
    found, timer = dues(row), written.get(TIMER, 0)
    if row.now < timer < found.get(TIMER, 0):
        found[TIMER] = timer
    return found


class Entry(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One line of the journal: signal → verdict → transition → step → result."""

    kind: str
    """``step`` (a signal was decided), ``intent`` and ``result`` (of a placement's step), ``policy``, ``ingest`` …"""
    breaker: str = ""
    now: int = 0
    version: int = JOURNAL_VERSION
    id: str = ""
    event: str = ""
    """Name of the event that led to it, ``source`` and ``id``."""
    type: str = ""
    time: int | None = None
    """When the event was taken in."""
    signal: Any = None
    """What the event said, as JSON."""
    weighed: tuple[Weighed, ...] = ()
    state: str = ""
    previous: str = ""
    epoch: int = 0
    step: int = 0
    result: str = ""
    reason: str = ""
    shares: dict[str, int] = {}
    rehearsed: bool = False
    patch: Any = None
    """What was sent to the cluster, or would have been, as JSON."""
    detail: dict[str, Any] = {}


class Change(Struct, frozen=True):
    """What a decision makes of a row, and what goes into the journal with it."""

    state: BreakerState
    placement: Placement
    entries: tuple[Entry, ...] = ()
    answer: object = None


class Due(Struct, frozen=True):
    """Something that a breaker waits for has come."""

    key: str
    kind: str
    at: int
    attempt: int


if TYPE_CHECKING:
    Decide = Callable[[Row], Change]
    """A pure function: it may be called again, with a newer row."""
