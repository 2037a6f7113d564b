"""The result of a step: its line in the journal, and its reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from fuseboard.breaker.placement import Claim, Placement, Result
from fuseboard.events.json import encode_data
from fuseboard.events.types import FailoverCompleted, FailoverFailed, FailoverRefused, FailoverReverted
from fuseboard.stores.records import Change, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Manifest
    from fuseboard.events.event import Event
    from fuseboard.events.types import FailoverDone

_ANNOUNCED: Final[Mapping[Result, type[FailoverDone]]] = {
    Result.VERIFIED: FailoverCompleted,
    Result.OBSERVED: FailoverCompleted,
    Result.INEXPRESSIBLE: FailoverCompleted,
    Result.REFUSED: FailoverRefused,
    Result.FAILED: FailoverFailed,
    Result.REVERTED: FailoverReverted,
}


def result_of(
    row: Row,
    event: Event,
    placement: Placement,
    *,
    patch: Manifest | None = None,
    detail: dict[str, Any] | None = None,
) -> Change:
    """Return the change that writes and journals a result, with the reply as its answer."""
    entry = replace(
        entry_of(event, "result", placement),
        result=placement.result,
        reason=placement.reason,
        shares=msgspec.to_builtins(placement.shares),
        rehearsed=placement.rehearsed,
        patch=None if patch is None else Raw(encode_data(patch)),
        detail=detail or {},
    )
    return Change(row.state, placement, (entry,), reply_to(event, placement))


def entry_of(event: Event, kind: str, fence: Claim | Placement) -> Entry:
    """Return the beginning of a journal entry."""
    return Entry(kind=kind, event=event.name, type=event.type, epoch=fence.epoch, step=fence.step)


def repeated_reply(event: Event, placement: Placement) -> Event | None:
    """Return the reply to the event behind this placement; None for other events."""
    # Same reply to a duplicate: the first reply may never have arrived.
    return reply_to(event, placement) if placement.cause == event.name else None


def reply_to(event: Event, placement: Placement) -> Event:
    """Return the reply with the result of a placement."""
    result = _ANNOUNCED[placement.result](
        epoch=placement.epoch,
        step=placement.step,
        result=placement.result,
        reason=placement.reason,
        shares=msgspec.to_builtins(placement.shares),
        rehearsed=placement.rehearsed,
    )
    return event.reply(result, step=f"{placement.epoch}.{placement.step}", time=placement.at)
