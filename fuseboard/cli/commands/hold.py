"""``fuseboard hold``: stop all transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fuseboard.cli.operate import duration_option, request_options, send_request
from fuseboard.events.types import Action, OperatorRequested

if TYPE_CHECKING:
    from fuseboard.cli.access import Access


@click.command()
@request_options
@duration_option
def hold(*, key: str, access: Access, operator: str, reason: str, duration: int, waits: bool) -> None:
    """Hold a breaker: until `release`, only `trip` and `reset` move it.

    The journal still records all signals.

    \b
    Example:
      fuseboard hold shop/login --reason "load test" --for 30m
    """
    send_request(access, key, OperatorRequested(Action.HOLD, operator, reason, duration), waits=waits)
