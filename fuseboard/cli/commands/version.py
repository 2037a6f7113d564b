"""``fuseboard version``: the version of this program."""

from __future__ import annotations

import click

from fuseboard import __version__


@click.command()
def version() -> None:
    """Print the version.

    \b
    Example:
      fuseboard version
    """
    click.echo(__version__)
