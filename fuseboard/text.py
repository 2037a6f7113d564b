"""Text from outside, made fit for display."""

from __future__ import annotations


def plain(text: str | None, length: int) -> str:
    """Return text from outside fit for display: short, without control or formatting characters."""
    text = (text or "")[:length]
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
