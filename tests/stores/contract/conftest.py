"""Fixtures for the contract: every test runs over both stores."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fuseboard.stores.redis import open_store
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.stores import Store


@pytest.fixture(params=["memory", "redis"])
def empty(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Return a store without a table."""
    if request.param == "memory":
        yield MemoryStore(lambda: time.time_ns() // 1_000_000)
        return
    with closing(open_store(request.getfixturevalue("redis_url"))) as store:
        yield store


@pytest.fixture
def store(empty: Store) -> Store:
    """Return a store with one breaker."""
    empty.apply([policy()])
    return empty
