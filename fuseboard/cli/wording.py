"""Times, modes and shares of the traffic as the commands print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from fuseboard.times import parse_timestamp, to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.board.view import BreakerView, PlacementView

COLOURS: Final[Mapping[str, str]] = {"CLOSED": "green", "LIMITED": "yellow", "OPEN": "red", "HALF_OPEN": "cyan"}
"""The colour of each state."""

_UNITS_S: Final = (("d", 86_400), ("h", 3_600), ("m", 60))


def mode(breaker: BreakerView) -> str:
    """Return the mode in force, and how long an operator's override still lasts."""
    override = breaker.override
    left = f" ({span(_since_now(override.until))} left)" if override and override.until else ""
    # ForcedOpen over Observe or Disabled keeps the breaker open, and still moves no traffic.
    idle = "" if breaker.acts or breaker.mode == breaker.policy.mode else ", acts on nothing"
    return f"{breaker.mode}{left}{idle}"


def serving(placement: PlacementView) -> str:
    """Return the shares of the traffic, with marks for a rehearsed, an owed or an unverified placement."""
    marks = ["rehearsed"] if placement.rehearsed else []
    if placement.owed:
        marks.append("owed")
    if _is_unverified(placement):
        marks.append(placement.result)
    return f"{placement.shares} ({', '.join(marks)})" if marks else str(placement.shares)


def reason_of(placement: PlacementView) -> str:
    """Return why the placement is not the one that the breaker asks for; empty if it is."""
    return placement.reason if placement.owed or _is_unverified(placement) else ""


def _is_unverified(placement: PlacementView) -> bool:
    return placement.result != "verified"


def shares(percent: Mapping[str, int]) -> str:
    """Return the shares of the traffic that are not 0, such as ``target 50 %, standby 50 %``."""
    return ", ".join(f"{role} {share} %" for role, share in percent.items() if share)


def age(since: str | None) -> str:
    """Return how long ago a time was; empty for an unknown time."""
    return span(-_since_now(since)) if since else ""


def span(length: timedelta) -> str:
    """Return a length of time in its largest unit."""
    seconds = int(length.total_seconds())
    for unit, size in _UNITS_S:
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def time_of_day(at: str | None) -> str:
    """Return a time in the local time zone, with the date unless it is today; empty for an unknown time."""
    timestamp = parse_timestamp(at)
    if not timestamp:
        return ""
    local, now = to_datetime(timestamp).astimezone(), datetime.now(UTC).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M:%S}"


def one_line(text: str) -> str:
    """Return a text on one line: text from outside must not move a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in text)


def indented_json(content: object) -> str:
    """Return content as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _since_now(at: str | None) -> timedelta:
    """Return how far a time is ahead; negative for a time in the past."""
    return to_datetime(parse_timestamp(at)) - datetime.now(UTC)
