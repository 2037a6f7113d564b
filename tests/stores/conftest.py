"""Fixtures for the tests of the stores in Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from fuseboard.stores.redis import RedisStore, open_store
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Return a plain client of the empty Valkey."""
    with redis.Redis.from_url(redis_url) as plain:
        yield plain


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    """Return a store with one breaker."""
    opened = open_store(redis_url)
    opened.apply([policy()])
    return opened
