"""The command line. The folder ``commands`` is the registry: each file is one command, named like the file."""

from __future__ import annotations

import ast
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import click

from fuseboard.cli import commands
from fuseboard.errors import FuseboardError


class Commands(click.Group):
    """A group that imports a command only when used: `status` must not wait for the imports of `up`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  - click's signature
        """Return the names of all commands, sorted."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is no file with this name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(import_module(f"{commands.__name__}.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, with the first line of the help of each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.list_commands(ctx)])


def _summary(name: str) -> str:
    """Return the first line of a command's help, read from the source: to import all commands takes a second."""
    source = Path(commands.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    functions = (each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef))
    docstring = next((ast.get_docstring(each) for each in functions if each.name == name), None)
    return (docstring or "").partition("\n")[0]


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Fuseboard: a breaker panel for Kubernetes workloads.

    \b
    Begin with:
      fuseboard up -f examples/01-one-alert/breakers.yaml
      fuseboard send alert --severity critical
      fuseboard status
      fuseboard explain shop/login
    """


def main() -> None:
    """Run the command line; print an expected error as a sentence, without a traceback."""
    try:
        cli()
    except FuseboardError as error:
        click.secho(f"fuseboard: {error}", fg="red", err=True)
        sys.exit(1)
