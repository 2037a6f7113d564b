"""A real Prometheus scrapes a real process, and its load moves a real breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.running import Up, policy
from tests.real.prometheus import Exporter, Prometheus, require_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUERY = 'sum(load{service="login"})'

pytestmark = pytest.mark.usefixtures("_prometheus_is_here")


@pytest.fixture(scope="module")
def _prometheus_is_here() -> None:
    """Skip without Prometheus; in CI, fail."""
    require_binary()


@pytest.fixture(scope="module")
def scraped() -> Iterator[tuple[Exporter, Prometheus]]:
    """Return a process that carries some load, and a Prometheus that knows it."""
    with Exporter() as login, Prometheus(login.address) as prometheus:
        yield login, prometheus


@pytest.fixture
def login(scraped: tuple[Exporter, Prometheus]) -> Exporter:
    """Return the process, with a load of 50."""
    login, prometheus = scraped
    login.carry(50)
    prometheus.shows(QUERY, 50)
    return login


@pytest.fixture
def prometheus(scraped: tuple[Exporter, Prometheus], login: Exporter) -> Prometheus:
    """Return a Prometheus that knows its load."""
    assert login
    return scraped[1]


def up(state: Path, prometheus: Prometheus, query: str = QUERY) -> Up:
    """Return Fuseboard, for a target that can carry 100."""
    loaded = policy(target={"capacity": 100}, signals={"load": {"query": query, "every": "1s"}})
    return Up(state, loaded, options=("--prometheus", prometheus.url))


def told(up: Up) -> list[dict[str, Any]]:
    """Return what the source has put on the record."""
    return [each for each in up.get("/api/journal?limit=500") if each.get("event") == "/prometheus"]


def test_a_load_above_the_capacity_opens_and_one_below_lets_it_recover(
    tmp_path: Path, login: Exporter, prometheus: Prometheus
) -> None:
    """The table's capacity is exceeded: the standby takes over until the load is what the target can carry."""
    with up(tmp_path, prometheus) as running:
        running.wait_for(lambda: told(running))
        assert running.breaker()["state"] == "CLOSED"

        login.carry(150)
        opened = running.becomes("OPEN")
        assert "the load is 150, the target's capacity is 100" in opened["reason"]
        assert opened["placement"]["shares"] == {"target": 0, "standby": 100}
        running.stays("OPEN", 3.0)  # the cool-down of 2 s is over, the load is not

        login.carry(60)
        running.becomes("CLOSED")


def test_a_load_just_below_the_capacity_does_not_open(tmp_path: Path, login: Exporter, prometheus: Prometheus) -> None:
    """99.9 of 100 is told, and moves nothing."""
    login.carry(99.9)
    prometheus.shows(QUERY, 99.9)
    with up(tmp_path, prometheus) as running:
        running.wait_for(lambda: told(running))
        running.stays("CLOSED", 2.5)
        assert running.breaker()["epoch"] == 0


def test_a_load_that_stays_the_same_is_hardly_told(tmp_path: Path, prometheus: Prometheus) -> None:
    """Asked every second, told at first and every tenth time."""
    with up(tmp_path, prometheus) as running:
        running.wait_for(lambda: told(running))
        running.stays("CLOSED", 3.5)
        assert len(told(running)) <= 2


def test_a_query_without_an_answer_opens_nothing_and_is_said_once(tmp_path: Path, prometheus: Prometheus) -> None:
    """It neither opens nor blocks; the record names breaker and problem, once."""
    with up(tmp_path, prometheus, 'sum(load{service="nobody"})') as running:
        (entry,) = running.wait_for(lambda: told(running))
        assert "no element" in entry["detail"]["complaints"]["shop/login"]
        running.stays("CLOSED", 2.5)
        assert len(told(running)) == 1


def test_a_prometheus_that_is_away_changes_nothing(tmp_path: Path, login: Exporter) -> None:
    """What is not known does not open; when it is back, its load counts."""
    with Prometheus(login.address) as prometheus, up(tmp_path, prometheus) as running:
        prometheus.shows(QUERY, 50)
        running.wait_for(lambda: any("1 loads sent" in each["reason"] for each in told(running)))
        prometheus.kill()
        login.carry(150)
        running.stays("CLOSED", 2.0)
        assert running.status("/readyz") == 200

        with Prometheus(login.address, port=prometheus.port):
            running.becomes("OPEN")


def test_who_gives_no_address_is_warned_once(tmp_path: Path) -> None:
    """Policies want the load, and nobody can be asked."""
    loaded = policy(target={"capacity": 100}, signals={"load": {"query": QUERY, "every": "1s"}})
    with Up(tmp_path, loaded) as running:
        log = tmp_path / "fuseboard" / "fuseboard.jsonl"
        running.wait_for(lambda: "prometheus.no_address" in log.read_text())
        running.stays("CLOSED", 2.5)
        assert log.read_text().count("prometheus.no_address") == 1
