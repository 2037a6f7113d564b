"""The connections of one process are opened once, and only if they are used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fuseboard.delivery.connections import Connections
from fuseboard.delivery.modules import make
from fuseboard.errors import CannotStart, StoreUnavailable
from fuseboard.settings import Settings
from fuseboard.testing.outbox import MemorySink

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "redis://127.0.0.1:1/0"


def test_each_connection_is_opened_once(redis_url: str) -> None:
    """Modules of one process share a store, an outbox, checkpoints and a cluster."""
    with Connections(Settings(redis_url=redis_url)) as connections:
        assert connections.store is connections.store
        assert connections.outbox is connections.outbox
        assert connections.checkpoints is connections.checkpoints
        assert connections.cluster is connections.cluster
        assert connections.cluster.rehearses
        assert connections.kubernetes is None
        connections.check()


def test_nothing_is_opened_that_is_not_used() -> None:
    """Settings that are missing, or a store that does not answer, matter only to a module that needs them."""
    connections = Connections(Settings(redis_url=NOWHERE))
    connections.check()
    assert connections.prometheus is None
    assert connections.alertmanagers == ()
    connections.close()
    with pytest.raises(StoreUnavailable):
        _ = connections.store


@pytest.mark.parametrize(
    ("name", "setting"),
    [("store", "FUSEBOARD_REDIS_URL"), ("outbox", "FUSEBOARD_REDIS_URL"), ("checkpoints", "FUSEBOARD_REDIS_URL"),
     ("sink", "K_SINK")],
)  # fmt: skip
def test_a_missing_setting_is_named(name: str, setting: str) -> None:
    """Whatever needs a setting says which, before anything runs."""
    with pytest.raises(CannotStart, match=setting):
        getattr(Connections(Settings()), name)


def test_a_process_may_set_the_sink() -> None:
    """``fuseboard up`` has a broker of its own, and needs no address."""
    connections, sink = Connections(Settings()), MemorySink()
    connections.sink = sink
    assert connections.sink is sink


def test_every_address_of_alertmanager_is_a_member_of_its_cluster() -> None:
    """Several addresses stand in one setting, with commas."""
    settings = Settings(alertmanager_url="http://a:9093, http://b:9093,", prometheus_url="http://p:9090")
    with Connections(settings) as connections:
        assert [member.url for member in connections.alertmanagers] == ["http://a:9093", "http://b:9093"]
        assert connections.prometheus is connections.prometheus is not None


@pytest.mark.parametrize("module", ["functions.journal", "functions.deadletter"])
def test_a_function_without_a_store_does_not_load_its_client(module: str, tmp_path: Path) -> None:
    """It starts without FUSEBOARD_REDIS_URL, and sooner."""
    loaded = _loaded_by(f"create_app({module!r}, Settings(state_dir=Path({str(tmp_path)!r})))")
    assert not {"redis", "kubernetes"} & loaded


def test_a_function_without_a_cluster_does_not_load_its_client(redis_url: str) -> None:
    """The breaker function knows the store alone, whatever the kubeconfig says."""
    loaded = _loaded_by(f"create_app('functions.breaker', Settings(redis_url={redis_url!r}, kubeconfig='in-cluster'))")
    assert "redis" in loaded
    assert "kubernetes" not in loaded


def _loaded_by(code: str) -> set[str]:
    """Return the modules that a process has loaded after it ran some code."""
    program = (
        "import sys; from pathlib import Path; from fuseboard.serving import create_app; "
        f"from fuseboard.settings import Settings; {code}; print(*sys.modules)"
    )
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())  # noqa: S603


def test_a_module_is_known_by_its_methods(redis_url: str) -> None:
    """A function handles, a receiver receives, a watcher runs; a module of none of these is refused."""
    with Connections(Settings(redis_url=redis_url)) as connections:
        connections.sink = MemorySink()
        made = [make(each, connections) for each in ("functions.breaker", "eventsources.alertmanager")]
        assert [type(each).__name__ for each in made] == ["Breaker", "Alertmanager"]
        assert type(make("fuseboard.delivery.relay", connections)).__name__ == "Relay"
        with pytest.raises(CannotStart, match=r"nothing_served: new\(\) returns a Nothing, which is no function"):
            make("tests.delivery.nothing_served", connections)
        with pytest.raises(CannotStart, match=r"times cannot be served: give it a function new\(connections\)"):
            make("fuseboard.times", connections)
