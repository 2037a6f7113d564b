"""The values that go into a store and come out: changes, journal entries, due entries and their pacing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.evidence import Weighed
from fuseboard.breaker.placement import Placement
from fuseboard.breaker.state import BreakerState
from fuseboard.breaker.transitions import next_due
from fuseboard.errors import RecordCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.breaker.row import Row

    Decide = Callable[[Row], "Change"]
    """A pure function of the row: the store calls it again, with a newer row, if another process was faster."""

JOURNAL_VERSION: Final = 1
JOURNAL_CAP: Final = 1_000
"""Entries kept per breaker; the journal function exports each entry before its removal."""

TIMER: Final = "timer"
"""Kind of the due entry for the clock: a state or an evidence may end by time."""
DEBT: Final = "debt"
"""Kind of the due entry for failover: the placement owes a step."""
FIRST_AGAIN_MS: Final = 5_000
LAST_AGAIN_MS: Final = 60_000


class Entry(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A line of the journal: signal → verdict → transition → step → result."""

    kind: str
    """``step`` (a decision on a signal), ``intent`` and ``result`` (of a placement's step), ``policy``, ``ingest`` …"""
    breaker: str = ""
    now: int = 0
    """When the entry was written, in milliseconds since 1970."""
    version: int = JOURNAL_VERSION
    id: str = ""
    event: str = ""
    """Name of the causing event, its ``source`` and ``id``."""
    type: str = ""
    time: int | None = None
    """When the event was taken in, in milliseconds since 1970."""
    signal: Any = None
    """Data of the event, as JSON."""
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
    """The patch sent to the cluster, or only rehearsed, as JSON."""
    detail: dict[str, Any] = {}


class Change(Struct, frozen=True):
    """The result of a decision: the new state and placement of the breaker, and the journal entries for them."""

    state: BreakerState
    placement: Placement
    entries: tuple[Entry, ...] = ()
    answer: object = None
    """Passed through to the caller of ``Store.change``."""


class Due(Struct, frozen=True):
    """A due entry whose time has come."""

    key: str
    """The breaker, ``namespace/name``."""
    kind: str
    """``TIMER`` or ``DEBT``."""
    at: int
    """When the entry was due, in milliseconds since 1970."""
    attempt: int
    """How often the entry was handed out before."""


def dues(row: Row) -> dict[str, int]:
    """Return the due times that a row asks for, in milliseconds since 1970, by kind."""
    times = {TIMER: next_due(row), DEBT: row.debt_due}
    return {kind: time for kind, time in times.items() if time is not None}


def dues_after(row: Row, written: Mapping[str, int]) -> dict[str, int]:
    """Return the due times to write for a row after ``written`` was written.

    A timer is not put off: at an early time, the clock finds no change due and waits for the right time. So a repeated
    alert, which extends its lease, writes no due time.
    """
    times, timer = dues(row), written.get(TIMER, 0)
    if row.now < timer < times.get(TIMER, 0):
        times[TIMER] = timer
    return times


_decode_entry: Final = msgspec.json.Decoder(Entry).decode


def read_entry(identifier: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """Read a journal entry from its id in the stream and its fields.

    Raises:
        RecordCorrupt: the entry cannot be read.

    """
    try:
        return replace(_decode_entry(fields.get(b"entry", b"")), id=identifier.decode())
    except msgspec.DecodeError as error:
        message = f"entry {identifier.decode()} of the journal cannot be read: {error}"
        raise RecordCorrupt(message) from error
