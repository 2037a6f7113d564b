"""Change one breaker as often as it goes: ``python -m tests.stores.hammer URL KEY COUNT``."""

from __future__ import annotations

import sys

from fuseboard.stores.redis import open_store
from tests.stores.decisions import one_more

if __name__ == "__main__":
    url, key, count = sys.argv[1:]
    store = open_store(url)
    for _ in range(int(count)):
        store.change(key, one_more)
