"""The breaker table follows its files."""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from eventsources.policy_files import LOOK_EVERY_S, Policies, new
from fuseboard.breaker.placement import Placement, Shares
from fuseboard.breaker.state import BreakerState, State
from fuseboard.delivery.connections import Connections
from fuseboard.errors import CannotStart, StoreUnavailable
from fuseboard.settings import Settings
from fuseboard.stores.records import Change
from fuseboard.testing.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fuseboard.breaker.row import Row
    from fuseboard.policy.spec import Policy


class Store(MemoryStore):
    """A store that counts what is applied, and that may be away."""

    def __init__(self) -> None:
        super().__init__(lambda: 1_000_000)
        self.applied = 0
        self.away = False

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        if self.away:
            raise StoreUnavailable("nobody there")
        self.applied += 1
        return super().apply(policies)

    def table(self) -> Mapping[str, Policy]:
        if self.away:
            raise StoreUnavailable("nobody there")
        return super().table()


def document(name: str, window: str = "60s") -> str:
    """Return a policy as it is written down."""
    return f"""
apiVersion: fuseboard.dev/v1alpha1
kind: CircuitBreaker
metadata: {{name: {name}, namespace: shop}}
spec: {{target: {{name: {name}}}, trip: {{window: {window}}}}}
"""


def mount(folder: Path, **files: str) -> None:
    """Write a folder as the kubelet mounts a ConfigMap: a new version appears at once, by one renamed link."""
    version = folder / f"..{time.monotonic_ns()}"
    version.mkdir(parents=True)
    for name, text in files.items():
        (version / f"{name}.yaml").write_text(text)
        if not (folder / f"{name}.yaml").is_symlink():
            (folder / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.replace(folder / "..data")
    for left in folder.glob("*.yaml"):
        if not left.exists():
            left.unlink()


def test_the_files_of_a_mounted_config_map_are_the_table(tmp_path: Path) -> None:
    """All documents of all files make one table, each once, whatever the links of the mount."""
    mount(tmp_path, a=document("login"), b=document("cart") + "---" + document("search"))
    store = Store()

    Policies(tmp_path, store).look()

    assert set(store.table()) == {"shop/login", "shop/cart", "shop/search"}


def test_a_change_is_applied_and_nothing_is_applied_twice(tmp_path: Path) -> None:
    """A new version of the mount becomes the table; looking again changes nothing."""
    mount(tmp_path, a=document("login"), b=document("cart"))
    store = Store()
    policies = Policies(tmp_path, store)
    policies.look()
    policies.look()
    assert store.applied == 1

    mount(tmp_path, a=document("login", window="5m"))
    policies.look()
    policies.look()

    assert store.applied == 2
    assert {key: each.spec.trip.window for key, each in store.table().items()} == {"shop/login": "5m"}


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "# only a comment\n",
        "kind: [",
        "kind: Nonsense",
        document("login") + "---" + document("login"),
        "a: 1\na: 2",
    ],
    ids=["empty", "comment", "no YAML", "another kind", "twice", "key twice"],
)
def test_what_cannot_be_used_leaves_the_last_table_in_force(
    tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken edit changes nothing, is said once, and is forgotten when it is mended."""
    file = tmp_path / "breakers.yaml"
    file.write_text(document("login"))
    store = Store()
    policies = Policies(file, store)
    policies.look()

    file.write_text(broken)
    policies.look()
    policies.look()
    assert set(store.table()) == {"shop/login"}
    assert capsys.readouterr().out.count("policies.not_applied") == 1

    file.write_text(document("cart"))
    policies.look()
    assert set(store.table()) == {"shop/cart"}


def test_a_file_that_is_gone_leaves_the_last_table_in_force(tmp_path: Path) -> None:
    """Without its files the table stays as it is."""
    file = tmp_path / "breakers.yaml"
    file.write_text(document("login"))
    store = Store()
    policies = Policies(file, store)
    policies.look()

    file.unlink()
    policies.look()

    assert set(store.table()) == {"shop/login"}


def test_a_store_that_is_away_gets_the_table_when_it_is_back(tmp_path: Path) -> None:
    """What could not be applied is applied at a later look."""
    mount(tmp_path, a=document("login"))
    store = Store()
    store.away = True
    policies = Policies(tmp_path, store)
    policies.look()

    store.away = False
    policies.look()

    assert set(store.table()) == {"shop/login"}


def test_a_store_that_has_forgotten_gets_the_table_again(tmp_path: Path) -> None:
    """An empty table is filled again without a change of the files."""
    mount(tmp_path, a=document("login"))
    store = Store()
    policies = Policies(tmp_path, store)
    policies.look()

    MemoryStore.apply(store, [])
    policies.look()

    assert set(store.table()) == {"shop/login"}


def test_a_table_of_another_replica_is_left_alone(tmp_path: Path) -> None:
    """Of two replicas, the one whose mount is older does not take back what the newer one has applied."""
    mount(tmp_path / "old", a=document("login"))
    mount(tmp_path / "new", a=document("login"))
    store = Store()
    older, newer = Policies(tmp_path / "old", store), Policies(tmp_path / "new", store)
    older.look()
    newer.look()

    mount(tmp_path / "new", a=document("cart"))
    newer.look()
    older.look()

    assert set(store.table()) == {"shop/cart"}


def test_a_breaker_that_leaves_while_its_traffic_is_moved_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever removes a breaker with moved traffic is told, by its name."""
    mount(tmp_path, a=document("login"), b=document("cart"))
    store = Store()
    policies = Policies(tmp_path, store)
    policies.look()
    store.change("shop/login", _moved)

    mount(tmp_path, b=document("cart"))
    policies.look()

    assert "policies.moved_breaker_left" in capsys.readouterr().out


def test_it_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """A change is seen within a few looks, and the end is at once."""
    mount(tmp_path, a=document("login"))
    store, stop = Store(), Flag()
    thread = Thread(target=Policies(tmp_path, store).run, args=(stop,))
    thread.start()

    _wait(lambda: set(store.table()) == {"shop/login"})
    mount(tmp_path, a=document("cart"))
    _wait(lambda: set(store.table()) == {"shop/cart"})
    stop.set()
    thread.join(LOOK_EVERY_S / 2)

    assert not thread.is_alive()


def _moved(record: Row) -> Change:
    breaker = BreakerState(state=State.OPEN, epoch=1, since=record.now, clock=record.now)
    return Change(breaker, Placement(epoch=1, shares=Shares(target=0, standby=100)))


def _wait(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60 * LOOK_EVERY_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_where_the_cluster_has_the_table_no_file_is_looked_at(redis_url: str) -> None:
    """With a cluster and no file it waits to be told to end, and is ready; without either it cannot start."""
    policies = new(Connections(Settings(redis_url=redis_url, kubeconfig="in-cluster")))
    policies.check()
    stop = Flag()
    thread = Thread(target=policies.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    with pytest.raises(CannotStart, match="FUSEBOARD_POLICIES is not set"):
        new(Connections(Settings(redis_url=redis_url)))
