"""What others wrote: stamps as numbers, text fit to be shown."""

from __future__ import annotations


def plain(text: str | None, length: int) -> str:
    """Return text that others wrote fit to be shown: short, without control or formatting characters."""
    text = (text or "")[:length]
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
