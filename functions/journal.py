"""Log every event as a line of JSON.

Runs as a Knative Service behind a Trigger without a filter. The decisions themselves are journaled where they are
made, by the script that makes them; these lines are the account of the broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import msgspec

from fuseboard import logs
from fuseboard.events.event import Foreign
from fuseboard.events.types import ANY

if TYPE_CHECKING:
    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes


@dataclass(frozen=True, slots=True)
class Journal:
    """Writes events down."""

    consumes: ClassVar[EventTypes] = ANY
    emits: ClassVar[EventTypes] = frozenset()

    def handle(self, event: Event) -> None:
        """Write the event down."""
        content = event.data.content if isinstance(event.data, Foreign) else msgspec.to_builtins(event.data)
        logs.logger().info(
            "event.seen",
            type=event.type,
            source=event.source,
            id=event.id,
            subject=event.subject,
            time=event.time,
            data=content,
        )

    def check(self) -> None:
        """Standard output is always there."""


def new(_: Connections) -> Journal:
    """Return the function, which needs no connection."""
    return Journal()
