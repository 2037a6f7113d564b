"""What ``explain`` foretells comes true, whatever a breaker was told before and whatever holds it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.breaker.outlook import Outlook, outlook
from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, Dependency, State
from fuseboard.breaker.step import adopt
from fuseboard.breaker.transitions import next_due, transition
from fuseboard.testing.panel import START, Panel, row_of
from fuseboard.testing.policies import movable, policy
from fuseboard.testing.strategies import SPECS, signals

if TYPE_CHECKING:
    from fuseboard.events.types import Data

    Others = tuple[tuple[Dependency, ...], tuple[Dependency, ...]]

DAY: Final = 24 * 3_600_000
OPEN_DB: Final = BreakerState(state=State.OPEN, epoch=1, since=START - 10_000)


def db(result: Result, verified_at: int = START) -> Dependency:
    """Return an open breaker as others see it, by what became of its placement."""
    placement = Placement(epoch=1, result=result, shares=Shares(0, 100), verified_at=verified_at)
    return row_of(policy("db"), OPEN_DB, placement).as_dependency


DEPENDENCIES: Final[tuple[tuple[Dependency, ...], ...]] = (
    (),
    (db(Result.OBSERVED),),
    (db(Result.VERIFIED),),
    (db(Result.VERIFIED, START + 60_000),),
    (db(Result.REFUSED, 0),),
    (Dependency("db", State.CLOSED),),
)


@dataclass(frozen=True)
class Chapter:
    """What happens to a breaker: time passes, its placement is settled, memory is lost, a signal comes."""

    wait: int
    ago: int
    placed: Result | None
    lost: bool
    data: Data


chapters = st.builds(
    Chapter,
    wait=st.sampled_from([0, 1, 1_000, 20_000, 60_000, 100_000, 700_000, 3_600_000, -100_000]),
    ago=st.sampled_from([0, 0, 0, 500, 30_000]),
    placed=st.sampled_from([None, *Result]),
    lost=st.sampled_from([False, False, False, False, False, False, False, True]),
    data=signals,
)
stories = st.lists(chapters, max_size=15)
CAPPED: Final = {"target": {"name": "login", "capacity": 100}, "recover": {"coolDown": "1s"}}
DEPENDENT: Final = {"dependsOn": ["db"], "recover": {"healthyFor": "1m"}}
specs: st.SearchStrategy[dict[str, Any]] = st.sampled_from([*SPECS, CAPPED, CAPPED, DEPENDENT, DEPENDENT])
dependencies = st.tuples(st.sampled_from(DEPENDENCIES), st.sampled_from(DEPENDENCIES))
"""What the breaker depends on: while the story is told, and afterwards."""


def told(spec: dict[str, Any], story: list[Chapter], others: Others) -> Panel:
    """Return a panel after a story."""
    panel = Panel(movable(**spec), dependencies=others[0])
    for each in story:
        panel.now += each.wait
        if each.placed is not None:
            panel.verify()
            verified_at = panel.now if each.placed in (Result.VERIFIED, Result.OBSERVED, Result.INEXPRESSIBLE) else 0
            panel.placement = replace(panel.placement, result=each.placed, verified_at=verified_at)
        if each.lost:
            panel.breaker = adopt(panel.row, panel.breaker.epoch + 3).state
        panel.tell(each.data, ago=each.ago / 1000)
    panel.dependencies = others[1]
    return panel


def moved(panel: Panel) -> tuple[int, int]:
    """Return what changes when the breaker moves or its trial goes on."""
    return panel.breaker.epoch, panel.breaker.trial


def foretold(panel: Panel) -> Outlook:
    """Return what explain would say now."""
    return outlook(panel.row, panel.dependencies)


@given(specs, stories, dependencies, st.integers(0, 200_000), st.lists(st.floats(0, 1), max_size=4))
def test_what_is_next_comes_then_and_not_before(
    spec: dict[str, Any], story: list[Chapter], others: Others, wait: int, looks: list[float]
) -> None:
    """Whenever else the breaker is looked at, it moves exactly when ``next`` says, to that state, for that reason."""
    panel = told(spec, story, others)
    panel.now += wait
    found = foretold(panel)
    ahead, now, before = found.ahead, max(panel.now, panel.breaker.clock), moved(panel)
    last = ahead.at - 1 if ahead is not None else now + 2 * DAY
    for moment in sorted(now + round((last - now) * look) for look in (*looks, 1.0) if last >= now):
        while (due := next_due(panel.row)) is not None and due < moment:  # the clock does not forget its own
            panel.now = max(due, panel.now)
            panel.tick()
        panel.now = max(moment, panel.now)
        panel.tick()
        assert moved(panel) == before
    while moved(panel) == before and (due := next_due(panel.row)) is not None and due <= (ahead.at if ahead else last):
        panel.now = max(due, now)
        panel.tick()
    if ahead is None:
        assert moved(panel) == before
        return
    assert moved(panel) != before
    assert (panel.now, panel.state) == (ahead.at, ahead.state)
    assert panel.breaker.trial or panel.breaker.reason == ahead.text


@given(specs, stories, dependencies, st.integers(0, 200_000))
def test_no_guard_outlasts_what_is_next(spec: dict[str, Any], story: list[Chapter], others: Others, wait: int) -> None:
    """No ``stays … until`` lies beyond ``next``, nor in the past."""
    panel = told(spec, story, others)
    panel.now += wait
    found = foretold(panel)
    for each in found.blocked:
        assert not each.until or each.until > found.row.state.clock
        assert found.ahead is None or each.until <= found.ahead.at


@given(specs, stories, dependencies)
def test_a_guard_blocks_until_its_time(spec: dict[str, Any], story: list[Chapter], others: Others) -> None:
    """If nothing is heard, a guard still blocks in the last millisecond before the time that explain names."""
    panel = told(spec, story, others)
    for each in foretold(panel).blocked:
        if each.until:
            later = dataclasses.replace(panel, now=each.until - 1)
            assert max(left.until for left in foretold(later).blocked) >= each.until


@given(specs, stories, dependencies)
def test_what_keeps_a_breaker_is_told(spec: dict[str, Any], story: list[Chapter], others: Others) -> None:
    """A breaker is kept by a guard or moves now; only a closed breaker stays without a word, until something fails."""
    panel = told(spec, story, others)
    found = foretold(panel)
    is_due = found.ahead is not None and found.ahead.at <= found.row.state.clock + 1
    assert found.blocked or is_due or found.row.state.state is State.CLOSED
    assert not found.blocked or transition(found.row) is None
