"""What others wrote: stamps as numbers, text fit to be shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_LATEST_MS: Final = 253_402_300_799_999


def moment(text: str | None) -> int:
    """Return a timestamp in milliseconds since 1970; 0 where there is none, or none that can be."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return 0
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    stamp = round(found.timestamp() * 1000)
    return stamp if 0 < stamp <= _LATEST_MS else 0


def plain(text: str | None, length: int) -> str:
    """Return text that others wrote fit to be shown: short, without control or formatting characters."""
    text = (text or "")[:length]
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
