"""Fixtures for the tests of the stores in Valkey."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
import redis

from fuseboard.stores.redis import open_store
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.stores.redis import RedisStore
    from tests.stores.valkeys import Opener


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Return a plain client of the empty Valkey."""
    with redis.Redis.from_url(redis_url) as plain:
        yield plain


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Return a function that opens a store, which is closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(closing(open_store(url)))


@pytest.fixture
def store(redis_url: str, opened: Opener) -> RedisStore:
    """Return a store with one breaker."""
    made = opened(redis_url)
    made.apply([policy()])
    return made
