"""A module that looks like a function to be served, and is none: its object has no check."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuseboard.delivery.connections import Connections


class Nothing:
    """Handles events, and cannot say whether it is well."""

    def handle(self, event: object) -> None:
        """Do nothing."""


def new(_: Connections) -> Nothing:
    """Return it."""
    return Nothing()
