"""``fuseboard release``: end a hold or ForcedOpen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fuseboard.cli.operate import request_options, send_request
from fuseboard.events.types import Action, OperatorRequested

if TYPE_CHECKING:
    from fuseboard.cli.access import Access


@click.command()
@request_options
def release(*, key: str, access: Access, operator: str, reason: str, waits: bool) -> None:
    """End a hold, or ForcedOpen: the breaker moves by itself again.

    \b
    Example:
      fuseboard release shop/login --reason "load test is over"
    """
    send_request(access, key, OperatorRequested(Action.RELEASE, operator, reason), waits=waits)
