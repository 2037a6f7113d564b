"""``fuseboard explain``: why a breaker is where it is, what comes next, and what led there."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from fuseboard.board.story import parts, read
from fuseboard.cli.access import a_key, access_option, known
from fuseboard.cli.wording import COLOURS, age, mode, moment, plain, serving, shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.board.story import CauseSummary, JournalLine, Part, Signal
    from fuseboard.cli.access import Access

ENTRIES: Final = 1_000
WIDTH: Final = 100
INDENT: Final = 2


@click.command()
@click.argument("key", metavar="NAMESPACE/NAME", callback=a_key)
@click.option("--last", default=5, show_default=True, type=click.IntRange(1, 100), help="How many transitions.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@access_option
def explain(key: str, last: int, output: str, access: Access) -> None:
    """Say why a breaker is where it is: what keeps it there, what comes next, and what led there.

    \b
    Examples:
      fuseboard explain shop/login
      fuseboard explain shop/login --last 20 -o json
      kubectl -n fuseboard exec deploy/sources -- /app/bin/fuseboard explain shop/login
    """
    breaker = known(access, key)
    chain = parts(read(access.journal(key, ENTRIES)), last)
    if output == "json":
        click.echo(json.dumps({**breaker, "chain": msgspec.to_builtins(chain)}, indent=2))
        return
    for line in _explained(breaker, chain):
        click.echo(line)


def _explained(breaker: dict[str, Any], chain: list[Part]) -> Iterator[str]:
    yield from _headline(breaker)
    yield from _section("Weighs now", (line for row in breaker["weighing"] for line in _weighs(row)))
    yield from _section("Was critical before", (line for row in breaker["past"] for line in _was_critical(row)))
    yield from _section("How it came here, newest first", (line for part in chain for line in _part(part)))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, None)
    if first is not None:
        yield from ("", click.style(title, bold=True), first)
        yield from lines


# -- where it is, and what comes next --------------------------------------------------------------------------------


def _headline(breaker: dict[str, Any]) -> Iterator[str]:
    name, state = f"{breaker['namespace']}/{breaker['name']}", breaker["state"]
    since = f" since {moment(breaker['since'])} ({age(breaker['since'])})" if breaker["since"] else ""
    head = click.style(f"{name} is {state}", fg=COLOURS.get(state), bold=True)
    yield f"{head}{since}, mode {mode(breaker)}"
    yield from _row("why", breaker["reason"] or "nothing has moved it yet")
    yield from _row("serves", f"{serving(breaker['placement'])} {_placed(breaker['placement'])}".rstrip())
    for each in _facts(breaker):
        yield from _row("", each)
    outlook = breaker["outlook"]
    for each in outlook["blocked"]:
        until = f" (until {moment(each['until'])})" if each["until"] else ""
        yield from _row("stays", f"{each['text']}{until}")
    ahead = outlook["ahead"]
    if ahead:
        yield from _row("next", f"{ahead['state']} at {moment(ahead['at'])}, if nothing is heard: {ahead['text']}")
    elif outlook["blocked"] or not outlook["evidence"]:
        yield from _row("next", "time alone does not move it")
    if outlook["evidence"]:
        yield from _row("", outlook["evidence"])


def _placed(placement: dict[str, Any]) -> str:
    return placement["reason"] if placement["owed"] or placement["result"] != "verified" else ""


def _facts(breaker: dict[str, Any]) -> Iterator[str]:
    """Yield what is known of pods, load and dependencies."""
    for role, found in breaker["capacity"].items():
        phase = f", {found['phase']}" if found["phase"] != "steady" else ""
        probe = f", probe: {found['probe']}" if found["probe"] else ""
        yield f"{role}: {found['ready']} pods ready, minReady {found['minReady']}{phase}{probe}"
    if breaker["load"]:
        capacity = breaker["policy"]["target"].get("capacity")
        yield f"load: {breaker['load']['value']:g}" + (f" of {capacity:g}" if capacity else "")
    for each in breaker["dependsOn"]:
        if each["state"] != "CLOSED":
            yield f"depends on {each['name']}, which is {each['state']}"


# -- what weighs -----------------------------------------------------------------------------------------------------


def _weighs(row: dict[str, Any]) -> Iterator[str]:
    times = f" x {row['count']}" if row["count"] > 1 else ""
    what = "holds" if row["kind"] == "condition" else "happened"
    notes = [f"{what} since {moment(row['since'])}", f"last seen {moment(row['seen'])}"]
    notes.append(f"{'lease' if what == 'holds' else 'counts'} until {moment(row['until'])}")
    marks = {"critical": row["critical"], "limits only": row["limitsOnly"]}
    notes += [mark for mark, is_so in marks.items() if is_so]
    if row["attributed"]:
        notes.append(f"put down to {row['attributed']}")
    yield from _row(str(row["weight"]), f"{row['cause']}{times}: {', '.join(notes)}")


def _was_critical(row: dict[str, Any]) -> Iterator[str]:
    yield from _row(
        "", f"{row['reason']}: {row['score']:g} is left of it, from {row['pastAt']} on the next is critical"
    )


# -- what led there --------------------------------------------------------------------------------------------------


def _part(part: Part) -> Iterator[str]:
    """Yield the steps after a transition, then the transition, then what it came from."""
    for line in part.lines:
        yield from _told(line)
    moved = part.moved
    if moved is not None:
        change = f"{moved.previous} → {moved.state}"
        yield from _row(
            moment(moved.at), f"{change} (epoch {moved.epoch}): {moved.reason}", colour=COLOURS.get(moved.state)
        )
    elif part.evidence:
        yield from _row("since then", "weighed, and moved nothing:")
    if moved is not None and moved.capacity is not None:
        yield from _row("", _pods(moved.capacity), deeper=INDENT)
    for each in part.evidence:
        yield from _row("", _evidence(each), deeper=INDENT)


def _told(line: JournalLine) -> Iterator[str]:
    request = line.request
    if request is not None:
        stale = "too late, not done: " if line.result == "stale" else ""
        lasts = f" for {request.duration_ms / 60_000:g}m" if request.duration_ms else ""
        text = f"{stale}{request.operator} asked to {request.action}{lasts}: {request.reason}"
    elif line.capacity is not None:
        text = _pods(line.capacity)
    elif line.kind == "result":
        how = f"{line.result}, rehearsed" if line.rehearsed else line.result
        text = f"placement {line.epoch}.{line.step}: {shares(line.shares)} ({how}) {line.reason}{_patch(line.patch)}"
    else:
        text = f"{line.kind}: {line.reason or line.result}"
    yield from _row(moment(line.at), text)


def _pods(told: Signal) -> str:
    phase = f", {told.phase}" if told.phase not in ("", "steady") else ""
    probe = f", probe: {told.probe}" if told.probe else ""
    return f"{told.role}: {told.ready}/{told.desired} pods ready{phase}{probe}"


def _patch(patch: Any) -> str:  # noqa: ANN401  - JSON
    """Return what a step changed for the traffic; -o json has all of it."""
    spec = patch.get("spec") if isinstance(patch, dict) else None
    return f" {json.dumps(spec)}" if spec else ""


def _evidence(each: CauseSummary) -> str:
    counts = ", ".join(f"{verdict} {count}" for verdict, count in each.verdicts.items())
    critical = f", critical by {each.critical}" if each.critical else ""
    attributed = f", put down to {each.attributed}" if each.attributed else ""
    return f"{each.weight} {each.kind or 'healthy'}: {each.cause}{critical}{attributed} ({counts})"


def _row(title: str, text: str, *, deeper: int = 0, colour: str | None = None) -> Iterator[str]:
    """Yield a text beside its title, on as many lines as it needs."""
    margin = " " * (12 + deeper)
    lines = wrap(plain(text), WIDTH - len(margin)) or [""]
    yield f"{title:>10}  {' ' * deeper}{click.style(lines[0], fg=colour)}"
    yield from (f"{margin}{line}" for line in lines[1:])
