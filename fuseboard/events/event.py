"""Events, and ids that follow from their content.

Ids are deterministic: every sender gives a fact the same ``source`` and ``id``, and a receiver recognises a
duplicate by both. The ``subject`` is the breaker's key, ``namespace/name``.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from fuseboard.events.types import Data, type_of

JSON: Final = "application/json"


class Foreign(Struct, frozen=True):
    """Data of an event whose type the reader does not know, or does not decode."""

    type: str
    content: object
    """Decoded JSON, or bytes if ``media`` is another type."""
    media: str = JSON


class Event(Struct, frozen=True, kw_only=True):
    """A CloudEvent with typed data."""

    id: str
    source: str
    subject: str
    data: Data | Foreign
    time: int | None = None
    """When a signal arrived or a reply was decided, by the store's clock, in milliseconds since 1970."""
    extensions: dict[str, str] = {}

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return self.data.type if isinstance(self.data, Foreign) else type_of(type(self.data))

    @property
    def name(self) -> str:
        """The name in the journal: source and id, which together identify an event."""
        return f"{self.source} {self.id}"

    def at(self, time: int) -> Event:
        """Return the event with this time."""
        return msgspec.structs.replace(self, time=time)

    def reply(self, data: Data, *, step: str, time: int) -> Event:
        """Return a reply to this event; the id of the reply follows from this event's id and the step."""
        trace = {name: value for name, value in self.extensions.items() if name in ("traceparent", "tracestate")}
        name = digest(self.source, self.id, step)
        return Event(id=name, source="/fuseboard", subject=self.subject, data=data, time=time, extensions=trace)


def digest(*parts: str) -> str:
    """Return a short id for some parts: 128 bits of their SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
