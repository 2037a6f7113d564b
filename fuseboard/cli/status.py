"""``fuseboard status``: the breaker table as it stands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from fuseboard.cli.client import get, url_option

_COLOURS: Final = {"CLOSED": "green", "LIMITED": "yellow", "OPEN": "red", "HALF_OPEN": "cyan"}


@click.command()
@click.argument("name", required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@url_option
def status(name: str | None, output: str, url: str) -> None:
    r"""Show the breakers, or the one called NAME (namespace/name).

    \b
    Examples:
      fuseboard status
      fuseboard status shop/login -o json
    """
    found = get(f"{url}/api/breakers/{name}" if name else f"{url}/api/breakers")
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    Console().print(_table([found] if name else found))


def _table(breakers: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("BREAKER", "STATE", "FOR", "MODE", "SERVING", "REASON"):
        table.add_column(column, overflow="fold")
    for each in breakers:
        state = each["state"]
        table.add_row(
            f"{each['namespace']}/{each['name']}",
            f"[{_COLOURS[state]}]{state}[/]",
            _age(each["since"]),
            each["mode"],
            _serving(each["placement"]),
            each["reason"],
        )
    return table


def _serving(placement: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {share} %" for name, share in placement["shares"].items() if share)
    marks = [mark for mark in ("rehearsed", "owed") if placement[mark]]
    if placement["result"] != "verified":
        marks.append(placement["result"])
    return f"{shares} ({', '.join(marks)})" if marks else shares


def _age(since: str | None) -> str:
    if since is None:
        return ""
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"
