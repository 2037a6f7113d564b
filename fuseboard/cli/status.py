"""``fuseboard status``: the breaker table as it stands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from fuseboard.cli.client import get, url_option

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = ("BREAKER", "STATE", "FOR", "MODE", "SERVING", "REASON")
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
    for line in _table([found] if name else found):
        click.echo(line)


def _table(breakers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as they must be."""
    rows = [_HEAD, *(_row(each) for each in breakers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        padded[1] = click.style(padded[1], fg=_COLOURS.get(row[1]))
        yield "  ".join(padded).rstrip()


def _row(breaker: dict[str, Any]) -> tuple[str, ...]:
    name = f"{breaker['namespace']}/{breaker['name']}"
    age, serving = _age(breaker["since"]), _serving(breaker["placement"])
    return name, breaker["state"], age, breaker["mode"], serving, breaker["reason"]


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
