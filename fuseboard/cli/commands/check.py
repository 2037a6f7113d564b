"""``fuseboard check``: check policies before they are applied."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from fuseboard.policy import lint
from fuseboard.policy.files import SUFFIXES
from fuseboard.policy.lint import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.policy.lint import LintReport

_STDIN: Final = "-"
_COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(exists=True, allow_dash=True))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
def check(paths: tuple[str, ...], output: str, strict: bool) -> None:  # noqa: FBT001  - click's flag
    """Check the CircuitBreaker documents in files and folders.

    Each FILE is checked, and each YAML file below each DIR; - reads stdin. An error is printed for each value that
    Fuseboard would refuse, a warning for each value that is allowed but probably a mistake. Documents of other kinds
    are skipped.

    \b
    Exit code: 0 without errors; 1 with errors (with --strict, also with warnings); 2 wrong usage, or no breaker found.

    \b
    Examples:
      fuseboard check examples/01-one-alert/breakers.yaml
      fuseboard check --strict clusters/production
      kubectl kustomize overlays/production | fuseboard check -o json -
    """
    report = lint.check({str(path): text for path in dict.fromkeys(_files(paths)) for text in [_text(path)]})
    if not report.checked:
        raise click.UsageError(
            f"{', '.join(paths)}: no CircuitBreaker document found; documents of other kinds: {report.skipped}"
        )
    show = _show_json if output == "json" else _show
    show(report)
    if report.count(Severity.ERROR) or (strict and report.findings):
        sys.exit(1)


def _files(paths: tuple[str, ...]) -> Iterator[Path]:
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(each for each in below if not each.startswith("."))  # .git and the like
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIXES))


def _text(path: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(path) == _STDIN else path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read ({error.strerror})") from error
    return content.decode(errors="surrogateescape")  # a file of another kind may have any bytes


def _show(report: LintReport) -> None:
    for each in report.findings:
        click.secho(str(each), fg=_COLOURS[each.severity])
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    skipped = f"; {report.skipped} documents of other kinds skipped" if report.skipped else ""
    click.echo(f"{report.checked} breakers checked: {errors} errors, {warnings} warnings{skipped}")


def _show_json(report: LintReport) -> None:
    counts = {"errors": report.count(Severity.ERROR), "warnings": report.count(Severity.WARNING)}
    whole = {**msgspec.to_builtins(report), **counts}
    click.echo(msgspec.json.format(msgspec.json.encode(whole), indent=2))
