"""Signals for tests of the outbox and the relay."""

from __future__ import annotations

from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.stores.records import Entry

ENTRY = Entry(kind="ingest", reason="test")


def signal(name: str, subject: str = "shop/login") -> Event:
    """Return a signal without a time: a source has not yet taken it in."""
    return Event(id=name, source="/t", subject=subject, data=FailureDetected(failures=(Failure(key=name, cause="c"),)))
