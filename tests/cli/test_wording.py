"""Times, modes and shares as the commands print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Raw

from fuseboard.board.view import BreakerView, OverrideView, PlacementView
from fuseboard.breaker.placement import Shares
from fuseboard.cli.wording import age, mode, one_line, reason_of, serving, span, time_of_day


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3_599, "59m"), (7_200, "2h"), (86_400, "1d"), (200_000, "2d")],
)
def test_a_length_of_time_has_one_unit(seconds: float, shown: str) -> None:
    """The largest unit is used, rounded down."""
    assert span(timedelta(seconds=seconds)) == shown


def test_times() -> None:
    """A time of another day has its date; an unknown time is empty."""
    now = datetime.now(UTC)
    local = now.astimezone()
    assert time_of_day(now.isoformat()) == f"{local:%H:%M:%S}"
    assert time_of_day("2020-06-01T12:00:00.000Z").startswith("2020-06-01 ")
    assert (time_of_day(None), time_of_day("tomorrow"), age(None)) == ("", "", "")
    assert age((now - timedelta(minutes=5, seconds=1)).isoformat()) == "5m"


def test_the_mode_in_force() -> None:
    """An override is shown with the time left, and a forced mode that moves no traffic with a note."""
    spec = Raw(b'{"mode": "Observe"}')
    until = (datetime.now(UTC) + timedelta(minutes=30, seconds=30)).isoformat()
    forced = BreakerView(mode="ForcedOpen", spec=spec, override=OverrideView(action="trip", until=until))
    assert mode(forced) == "ForcedOpen (30m left), acts on nothing"
    assert mode(BreakerView(mode="Observe", spec=spec)) == "Observe"
    assert mode(BreakerView(mode="Hold", acts=True, spec=spec, override=OverrideView(action="hold"))) == "Hold"


def test_a_placement_has_marks() -> None:
    """A rehearsed, an owed and an unverified placement are marked, and the last two have a reason."""
    moved = PlacementView(shares=Shares(0, 100), reason="moved")
    assert (serving(moved), reason_of(moved)) == ("standby 100 %", "")
    refused = PlacementView(result="refused", reason="no standby", rehearsed=True, owed=True)
    assert serving(refused) == "target 100 % (rehearsed, owed, refused)"
    assert reason_of(refused) == "no standby"


def test_text_from_outside_moves_no_cursor() -> None:
    """Control characters are blanks."""
    assert one_line("a\x1b[2Jb\nc") == "a [2Jb c"
