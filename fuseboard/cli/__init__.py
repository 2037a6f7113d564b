"""The command line."""

from __future__ import annotations

import sys

import click

from fuseboard import __version__
from fuseboard.cli.commands.check import check
from fuseboard.cli.commands.explain import explain
from fuseboard.cli.commands.hold import hold
from fuseboard.cli.commands.release import release
from fuseboard.cli.commands.reset import reset
from fuseboard.cli.commands.schema import schema
from fuseboard.cli.commands.send import send
from fuseboard.cli.commands.serve import serve
from fuseboard.cli.commands.status import status
from fuseboard.cli.commands.trip import trip
from fuseboard.cli.commands.up import up
from fuseboard.errors import FuseboardError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Fuseboard: a breaker panel for Kubernetes workloads.

    \b
    Begin with:
      fuseboard up -f examples/01-one-alert/breakers.yaml
      fuseboard send alert --severity critical
      fuseboard status
      fuseboard explain shop/login
    """


@cli.command()
def version() -> None:
    """Print the version.

    \b
    Example:
      fuseboard version
    """
    click.echo(__version__)


for command in (up, serve, status, explain, trip, reset, hold, release, send, check, schema):
    cli.add_command(command)


def main() -> None:
    """Run the command line; what goes wrong on purpose is one sentence, not a trace."""
    try:
        cli()
    except FuseboardError as error:
        click.secho(f"fuseboard: {error}", fg="red", err=True)
        sys.exit(1)
