"""Words and times as the commands show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

COLOURS: Final = {"CLOSED": "green", "LIMITED": "yellow", "OPEN": "red", "HALF_OPEN": "cyan"}


def mode(breaker: dict[str, Any]) -> str:
    """Return the mode in force, and how long an operator's still lasts."""
    override = breaker["override"]
    left = span(datetime.fromisoformat(override["until"]) - datetime.now(UTC)) if override and override["until"] else ""
    lasts = f" ({left} left)" if left else ""
    # ForcedOpen over Observe or Disabled keeps the breaker open, and still nothing is done to the cluster.
    idle = "" if breaker["acts"] or breaker["mode"] == breaker["policy"]["mode"] else ", acts on nothing"
    return f"{breaker['mode']}{lasts}{idle}"


def serving(placement: dict[str, Any]) -> str:
    """Say who serves, and what is special about it."""
    marks = [mark for mark in ("rehearsed", "owed") if placement[mark]]
    if placement["result"] != "verified":
        marks.append(placement["result"])
    return f"{shares(placement['shares'])} ({', '.join(marks)})" if marks else shares(placement["shares"])


def shares(found: dict[str, int]) -> str:
    """Say who serves how much."""
    return ", ".join(f"{name} {share} %" for name, share in found.items() if share)


def age(since: str | None) -> str:
    """Return how long ago that was; nothing where it never was."""
    return "" if since is None else span(datetime.now(UTC) - datetime.fromisoformat(since))


def span(length: timedelta) -> str:
    """Return a length of time in its largest unit."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def moment(at: str | None) -> str:
    """Return a time of day here, with its date where that is not today's."""
    if at is None:
        return ""
    when, now = datetime.fromisoformat(at).astimezone(), datetime.now(UTC).astimezone()
    return f"{when:%H:%M:%S}" if when.date() == now.date() else f"{when:%Y-%m-%d %H:%M:%S}"


def plain(text: str) -> str:
    """Return a text on one line: what others wrote must not move a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in text)
