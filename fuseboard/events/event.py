"""A CloudEvent with data that has a name."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from fuseboard.events.types import Data, type_of

JSON: Final = "application/json"


class Foreign(Struct, frozen=True):
    """Data of an event that its reader does not know, or does not want to look into."""

    type: str
    content: object
    """JSON as Python reads it; bytes where ``media`` is something else."""
    media: str = JSON


class Event(Struct, frozen=True, kw_only=True):
    """A CloudEvent with data that has a name."""

    id: str
    source: str
    subject: str
    data: Data | Foreign
    time: int | None = None
    """When it was taken in (a signal) or decided (a reply), by the store's clock, in milliseconds since 1970."""
    extensions: dict[str, str] = {}

    @property
    def type(self) -> str:
        """Its CloudEvents type."""
        return self.data.type if isinstance(self.data, Foreign) else type_of(type(self.data))

    def at(self, time: int) -> Event:
        """Return the same event with this time."""
        return msgspec.structs.replace(self, time=time)

    def reply(self, data: Data, *, step: str, time: int) -> Event:
        """Return the event that answers this one; its id follows from this one's and the step."""
        trace = {name: value for name, value in self.extensions.items() if name in ("traceparent", "tracestate")}
        name = digest(self.source, self.id, step)
        return Event(id=name, source="/fuseboard", subject=self.subject, data=data, time=time, extensions=trace)


def digest(*parts: str) -> str:
    """Return a short name that follows from its parts alone: 128 bits of SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
