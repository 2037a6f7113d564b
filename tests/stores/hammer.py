"""Change one breaker as often as it goes: ``python -m tests.stores.hammer URL KEY COUNT``."""

from __future__ import annotations

import sys

from msgspec.structs import replace

from fuseboard.stores.records import Change, Record
from fuseboard.stores.redis import open_store


def one_more(record: Record) -> Change:
    """Count in the epoch: every change that is lost is missing there."""
    epoch = record.breaker.epoch + 1
    return Change(replace(record.breaker, epoch=epoch), record.placement, answer=epoch)


if __name__ == "__main__":
    url, key, count = sys.argv[1:]
    store = open_store(url)
    for _ in range(int(count)):
        store.change(key, one_more)
