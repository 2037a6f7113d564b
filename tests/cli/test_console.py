"""The lines of ``fuseboard up``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseboard.cli.console import Console
from fuseboard.errors import StoreUnavailable
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import BreakerOpened, FailoverCompleted, TimerElapsed, type_of
from fuseboard.stores.records import Entry
from fuseboard.testing.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest
    from msgspec import Struct

OPENED = BreakerOpened("OPEN", "LIMITED", 2, "Enforce", 0, "failures weigh 10", 10, ("a", "b", "c", "d"))
DONE = FailoverCompleted(2, 1, "verified", "moved", {"target": 0, "standby": 100}, rehearsed=True)


class Journal(MemoryStore):
    """A store with these entries only; without any, it does not answer."""

    def __init__(self, *entries: Entry) -> None:
        super().__init__(lambda: 0)
        self.entries = list(entries)

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:  # noqa: ARG002  - the protocol's signature
        """Return the entries."""
        if not self.entries:
            message = "redis at ..."
            raise StoreUnavailable(message)
        return self.entries


def event(data: Struct, name: str = "1") -> Event:
    """Return an event."""
    return Event(id=name, source="/fuseboard", subject="shop/login", data=data, time=1_000)  # type: ignore[arg-type]


def test_a_transition_is_a_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    """It has three causes at most, and a repeated delivery is not shown."""
    console = Console(Journal())
    console.show(event(OPENED))
    console.show(event(OPENED))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("  shop/login  LIMITED → OPEN  failures weigh 10  (a; b; c)")


def test_an_unknown_state_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    """The event may come from a newer version, or from another program."""
    content = {"state": "X", "previous": "Y", "epoch": 1, "mode": "Z", "since": 0, "reason": "r"}
    Console(Journal()).show(event(Foreign(type_of(BreakerOpened), content)))
    assert "Y → X  r" in capsys.readouterr().out


def test_a_rehearsed_step_shows_its_patch(capsys: pytest.CaptureFixture[str]) -> None:
    """The journal has the patch; without an answer of the store, the line has none."""
    other = Entry(kind="result", epoch=2, step=2, patch={"spec": "other"})
    step = Entry(kind="result", epoch=2, step=1, patch={"spec": {"selector": {"a": "b"}}, "metadata": {}})
    Console(Journal(other, step)).show(event(DONE))
    Console(Journal(Entry(kind="result", epoch=2, step=1, patch={"metadata": {}}))).show(event(DONE))
    Console(Journal()).show(event(DONE))
    with_patch, fence_only, without = capsys.readouterr().out.splitlines()
    start = "shop/login    placement 2.1: standby 100 %  (verified, rehearsed) moved  would patch"
    assert with_patch.endswith(f'{start} {{"selector": {{"a": "b"}}}}')
    assert fence_only.endswith(f'{start} "its fence only"')
    assert without.rstrip().endswith(start)


def test_signals_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Only transitions and placement steps are."""
    Console(Journal()).show(event(TimerElapsed(1)))
    assert capsys.readouterr().out == ""
