"""``fuseboard status``: the breaker table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from fuseboard.cli.access import a_key, access_option, known
from fuseboard.cli.wording import COLOURS, age, indented_json, mode, one_line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuseboard.board.view import BreakerView
    from fuseboard.cli.access import Access

_HEAD: Final = ("BREAKER", "STATE", "FOR", "MODE", "READY", "SERVING", "REASON")
_STATE: Final = _HEAD.index("STATE")
_READY: Final = _HEAD.index("READY")


@click.command()
@click.argument("key", metavar="[NAMESPACE/NAME]", required=False, callback=a_key)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@access_option
def status(key: str | None, output: str, access: Access) -> None:
    """Show all breakers, or the breaker NAMESPACE/NAME.

    \b
    Examples:
      fuseboard status
      fuseboard status shop/login -o json
      kubectl -n fuseboard exec deploy/sources -- /app/bin/fuseboard status
    """
    breakers: Sequence[BreakerView] = [known(access, key)] if key else access.breakers()
    if output == "json":
        click.echo(indented_json(breakers[0] if key else breakers))
        return
    for line in _table(breakers):
        click.echo(line)


def _table(breakers: Sequence[BreakerView]) -> Iterator[str]:
    """Yield the lines of the table; the column READY is left out if no breaker knows its pods."""
    rows = [_row(each) for each in breakers]
    shown = [column for column in range(len(_HEAD)) if column != _READY or any(row[_READY] for row in rows)]
    table = [[row[column] for column in shown] for row in (_HEAD, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[_STATE] = click.style(cells[_STATE], fg=COLOURS.get(row[_STATE]))
        yield "  ".join(cells).rstrip()


def _row(breaker: BreakerView) -> tuple[str, ...]:
    pods = breaker.capacity.get("target")
    return (
        breaker.key,
        breaker.state,
        age(breaker.since),
        mode(breaker),
        pods.ready if pods else "",
        serving(breaker.placement),
        one_line(breaker.reason),
    )
