"""Decisions for tests of stores, all on one breaker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, State
from fuseboard.errors import NotEnrolled
from fuseboard.stores.records import Change, Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.breaker.row import Row
    from fuseboard.stores import Store
    from fuseboard.stores.redis import RedisStore

KEY: Final = "shop/login"
MOVED: Final = Placement(shares=Shares(target=0, standby=100))


def one_more(record: Row) -> Change:
    """Count in the epoch: every change that is lost is missing there."""
    epoch = record.state.epoch + 1
    return Change(replace(record.state, epoch=epoch), record.placement, answer=epoch)


def becomes(
    breaker: BreakerState | None = None, placement: Placement | None = None, *entries: Entry
) -> Callable[[Row], Change]:
    """Return a decision that makes this of a record."""
    return lambda record: Change(breaker or record.state, placement or record.placement, entries)


def cooling(cool_down: int) -> Callable[[Row], Change]:
    """Return a decision that opens the breaker for so many milliseconds, its placement paid."""

    def decide(record: Row) -> Change:
        now = record.now
        breaker = BreakerState(state=State.OPEN, epoch=1, since=now, clock=now, cool_down=cool_down)
        return Change(breaker, replace(MOVED, epoch=1, result=Result.VERIFIED))

    return decide


def due(store: Store, limit: int = 10) -> list[tuple[str, str]]:
    """Take what is due now."""
    time.sleep(0.01)
    return sorted((each.key, each.kind) for each in store.take_due(limit)[1])


def refused(store: RedisStore, key: str) -> None:
    """Ask for a breaker that is not there."""
    with pytest.raises(NotEnrolled):
        store.change(key, one_more)
