"""Change one breaker as often as it goes: ``python -m tests.stores.hammer URL KEY COUNT``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.stores.records import Change
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row


def one_more(record: Row) -> Change:
    """Count in the epoch: every change that is lost is missing there."""
    epoch = record.state.epoch + 1
    return Change(replace(record.state, epoch=epoch), record.placement, answer=epoch)


if __name__ == "__main__":
    url, key, count = sys.argv[1:]
    store = open_store(url)
    for _ in range(int(count)):
        store.change(key, one_more)
