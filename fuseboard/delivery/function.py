"""The protocol of functions: each takes an event, and may answer with an event.

Each file in ``functions/`` is a Knative Service, and has ``new(connections)``. A function knows neither HTTP nor the
further functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes


@runtime_checkable
class Function(Protocol):
    """Handles events; safe for threads."""

    consumes: ClassVar[EventTypes]
    """Types that the Trigger lets through; ``ANY`` for a Trigger without a filter."""
    emits: ClassVar[EventTypes]
    """Types of the answers."""

    def handle(self, event: Event) -> Event | None:
        """Handle the event, and return the answer, also to a duplicate.

        Raises:
            FuseboardError: see ``fuseboard.errors`` for the kinds, and whether to try again.

        """

    def check(self) -> None:
        """Do nothing if events can be handled now.

        Raises:
            Unavailable: a connection does not answer.

        """
