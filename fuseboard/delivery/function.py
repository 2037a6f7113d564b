"""What a function is: a module with ``new()`` whose object takes an event and answers with at most one.

One file in ``functions/`` is one Knative Service. A function knows neither HTTP nor any other function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.events.types import Event, EventTypes


class Answer(NamedTuple):
    """What a function's app answered to a POST; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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
