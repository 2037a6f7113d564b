"""What a function is: a module with ``new()`` whose object takes an event and answers with at most one.

One file in ``functions/`` is one Knative Service. A function knows neither HTTP nor any other function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes


@runtime_checkable
class Function(Protocol):
    """Handles one event at a time; several threads may call it at once."""

    consumes: ClassVar[EventTypes]
    """Types that its Trigger lets through; ``ANY`` for a Trigger without a filter."""
    emits: ClassVar[EventTypes]
    """Types that it may answer with."""

    def handle(self, event: Event) -> Event | None:
        """Do what the event asks for, and return the answer to a duplicate as well.

        Raises:
            FuseboardError: see ``fuseboard.errors`` for what each says about trying again.

        """

    def check(self) -> None:
        """Do nothing if events can be handled now.

        Raises:
            Unavailable: what is needed does not answer.

        """
