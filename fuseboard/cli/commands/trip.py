"""``fuseboard trip``: open a breaker."""

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
def trip(*, key: str, access: Access, operator: str, reason: str, duration: int, waits: bool) -> None:
    """Open a breaker: the standby takes the traffic.

    A breaker that is open already becomes ForcedOpen, and stays open until `release` or `reset`. With --for, any
    breaker becomes ForcedOpen for that time. In the modes Observe and Disabled no traffic is moved.

    \b
    Examples:
      fuseboard trip shop/login --reason "bad release, INC-42"
      fuseboard trip shop/login --reason "migration" --for 2h --as anna
    """
    send_request(access, key, OperatorRequested(Action.TRIP, operator, reason, duration), waits=waits)
