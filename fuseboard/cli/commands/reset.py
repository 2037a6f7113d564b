"""``fuseboard reset``: close a breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fuseboard.cli.operate import request_options, send_request
from fuseboard.events.types import Action, OperatorRequested

if TYPE_CHECKING:
    from fuseboard.cli.access import Access


@click.command()
@request_options
def reset(*, key: str, access: Access, operator: str, reason: str, waits: bool) -> None:
    """Close a breaker: its target takes all the traffic.

    A reset clears the evidence, and ends ForcedOpen and a latch. A hold stays.

    \b
    Example:
      fuseboard reset shop/login --reason "rolled back"
    """
    send_request(access, key, OperatorRequested(Action.RESET, operator, reason), waits=waits)
