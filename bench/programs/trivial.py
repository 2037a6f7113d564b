"""The way of a CloudEvent through ``fuseboard.serving`` alone: a function that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fuseboard.events.types import SIGNALS
from fuseboard.serving.apps import function_app

if TYPE_CHECKING:
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes


class Trivial:
    """Takes every signal and does nothing."""

    consumes: ClassVar[EventTypes] = SIGNALS
    emits: ClassVar[EventTypes] = frozenset()

    def handle(self, event: Event) -> Event | None:
        """Do nothing."""
        del event
        return None

    def check(self) -> None:
        """Do nothing."""


app = function_app(Trivial(), "trivial")
