"""``fuseboard status``: the breaker table as it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from fuseboard.cli.access import a_key, access_option, known
from fuseboard.cli.wording import COLOURS, age, mode, plain, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.cli.access import Access

_HEAD: Final = ("BREAKER", "STATE", "FOR", "MODE", "READY", "SERVING", "REASON")


@click.command()
@click.argument("name", required=False, callback=a_key)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@access_option
def status(name: str | None, output: str, access: Access) -> None:
    """Show the breakers, or the one called NAME (namespace/name).

    \b
    Examples:
      fuseboard status
      fuseboard status shop/login -o json
      kubectl -n fuseboard exec deploy/sources -- /app/bin/fuseboard status
    """
    found: Any = known(access, name) if name else access.breakers()
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    for line in _table([found] if name else found):
        click.echo(line)


def _table(breakers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as they must be; one that is empty is left out."""
    rows = [_row(each) for each in breakers]
    shown = [number for number, title in enumerate(_HEAD) if title != "READY" or any(row[number] for row in rows)]
    table = [[row[number] for number in shown] for row in (_HEAD, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        padded[1] = click.style(padded[1], fg=COLOURS.get(row[1]))
        yield "  ".join(padded).rstrip()


def _row(breaker: dict[str, Any]) -> tuple[str, ...]:
    name, ready = f"{breaker['namespace']}/{breaker['name']}", breaker["capacity"].get("target", {}).get("ready", "")
    served, reason = serving(breaker["placement"]), plain(breaker["reason"])
    return name, breaker["state"], age(breaker["since"]), mode(breaker), ready, served, reason
