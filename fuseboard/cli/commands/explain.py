"""``fuseboard explain``: why a breaker is in its state, the next transition, and its history."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import structs

from fuseboard.board.story import part_json, parts, signal_of
from fuseboard.board.view import BreakerDetail
from fuseboard.cli.access import a_key, access_option, known
from fuseboard.cli.wording import (
    COLOURS,
    age,
    indented_json,
    mode,
    one_line,
    reason_of,
    serving,
    shares,
    time_of_day,
)
from fuseboard.events.types import CapacityChanged, OperatorRequested
from fuseboard.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.board.story import CauseSummary, Part
    from fuseboard.board.view import OutlookView, PriorView, WeighingView
    from fuseboard.cli.access import Access
    from fuseboard.stores.records import Entry

ENTRIES: Final = 1_000
"""Journal entries that are read: as many as the API returns at most."""

WIDTH: Final = 100
MARGIN: Final = 12
INDENT: Final = 2


class _Explanation(BreakerDetail, frozen=True):
    """The output of ``-o json``: the API's answer and the history."""

    chain: tuple[dict[str, Any], ...] = ()


@click.command()
@click.argument("key", metavar="NAMESPACE/NAME", callback=a_key)
@click.option("--last", default=5, show_default=True, type=click.IntRange(1, 100), help="Number of transitions.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@access_option
def explain(key: str, last: int, output: str, access: Access) -> None:
    """Explain the state of a breaker: why, until when, and its history.

    \b
    Examples:
      fuseboard explain shop/login
      fuseboard explain shop/login --last 20 -o json
      kubectl -n fuseboard exec deploy/sources -- /app/bin/fuseboard explain shop/login
    """
    breaker = known(access, key)
    history = parts(access.journal(key, ENTRIES), last)
    if output == "json":
        chain = tuple(part_json(part) for part in history)
        click.echo(indented_json(_Explanation(**structs.asdict(breaker), chain=chain)))
        return
    for line in _explanation(breaker, history):
        click.echo(line)


def _explanation(breaker: BreakerDetail, history: list[Part]) -> Iterator[str]:
    yield from _headline(breaker)
    for each in _facts(breaker):
        yield from _row("", each)
    yield from _outlook(breaker.outlook)
    yield from _section("Evidence now", (line for each in breaker.weighing for line in _weighing(each)))
    yield from _section("Critical before", (line for each in breaker.past for line in _prior(each)))
    yield from _section("History, newest first", (line for part in history for line in _part(part)))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, None)
    if first is not None:
        yield from ("", click.style(title, bold=True), first)
        yield from lines


# -- its state, and the next transition ------------------------------------------------------------------------------


def _headline(breaker: BreakerDetail) -> Iterator[str]:
    since = f" since {time_of_day(breaker.since)} ({age(breaker.since)})" if breaker.since else ""
    head = click.style(f"{breaker.key} is {breaker.state}", fg=COLOURS.get(breaker.state), bold=True)
    yield f"{head}{since}, mode {mode(breaker)}"
    yield from _row("why", breaker.reason or "no transition yet")
    yield from _row("serves", f"{serving(breaker.placement)} {reason_of(breaker.placement)}".rstrip())


def _facts(breaker: BreakerDetail) -> Iterator[str]:
    """Yield the known pods and load, and the dependencies that are not closed."""
    for role, pods in breaker.capacity.items():
        yield f"{role}: {pods.ready} pods ready, minReady {pods.min_ready}{_phase_and_probe(pods.phase, pods.probe)}"
    if breaker.load:
        capacity = breaker.policy.target.capacity
        yield f"load: {breaker.load.value:g}" + (f" of {capacity:g}" if capacity else "")
    for each in breaker.depends_on:
        if each.state != "CLOSED":
            yield f"depends on {each.name}, which is {each.state}"


def _outlook(outlook: OutlookView) -> Iterator[str]:
    for each in outlook.blocked:
        until = f" (until {time_of_day(each.until)})" if each.until else ""
        yield from _row("stays", f"{each.text}{until}")
    ahead = outlook.ahead
    if ahead:
        yield from _row("next", f"{ahead.state} at {time_of_day(ahead.at)} unless a signal comes first: {ahead.text}")
    elif outlook.blocked or not outlook.evidence:
        yield from _row("next", "no transition by time alone")
    if outlook.evidence:
        yield from _row("", outlook.evidence)


# -- evidence --------------------------------------------------------------------------------------------------------


def _weighing(row: WeighingView) -> Iterator[str]:
    is_condition = row.kind == "condition"
    first, last = ("holds since", "lease until") if is_condition else ("first seen", "counts until")
    notes = [
        f"{first} {time_of_day(row.since)}",
        f"last seen {time_of_day(row.seen)}",
        f"{last} {time_of_day(row.until)}",
    ]
    if row.critical:
        notes.append("critical")
    if row.limits_only:
        notes.append("limits only")
    if row.attributed:
        notes.append(f"attributed to {row.attributed}")
    times = f" x {row.count}" if row.count > 1 else ""
    yield from _row(str(row.weight), f"{row.cause}{times}: {', '.join(notes)}")


def _prior(past: PriorView) -> Iterator[str]:
    yield from _row("", f"{past.reason}: score {past.score:g}; from {past.past_at} on, the next failure is critical")


# -- history ---------------------------------------------------------------------------------------------------------


def _part(part: Part) -> Iterator[str]:
    """Yield the steps after a transition, the transition, and its evidence."""
    for entry in part.lines:
        yield from _row(_time(entry), _step(entry))
    if part.moved is not None:
        yield from _transition(part.moved)
    elif part.evidence:
        yield from _row("since then", "evidence without a transition:")
    for each in part.evidence:
        yield from _row("", _evidence(each), deeper=INDENT)


def _transition(moved: Entry) -> Iterator[str]:
    text = f"{moved.previous} → {moved.state} (epoch {moved.epoch}): {moved.reason}"
    yield from _row(_time(moved), text, colour=COLOURS.get(moved.state))
    signal = signal_of(moved)
    if isinstance(signal, CapacityChanged):
        yield from _row("", _pods(signal), deeper=INDENT)


def _step(entry: Entry) -> str:
    signal = signal_of(entry)
    if isinstance(signal, OperatorRequested):
        return _request(signal, is_stale=entry.result == "stale")
    if isinstance(signal, CapacityChanged):
        return _pods(signal)
    if entry.kind == "result":
        how = f"{entry.result}, rehearsed" if entry.rehearsed else entry.result
        step = f"placement {entry.epoch}.{entry.step}: {shares(entry.shares)} ({how})"
        return f"{step} {entry.reason}{_patch(entry.patch)}"
    return f"{entry.kind}: {entry.reason or entry.result}"


def _request(request: OperatorRequested, *, is_stale: bool) -> str:
    lasts = f" for {request.duration_ms / 60_000:g}m" if request.duration_ms else ""
    stale = "stale, not done: " if is_stale else ""
    return f"{stale}{request.operator} requested {request.action}{lasts}: {request.reason}"


def _pods(pods: CapacityChanged) -> str:
    return f"{pods.role}: {pods.ready}/{pods.desired} pods ready{_phase_and_probe(pods.phase, pods.probe)}"


def _phase_and_probe(phase: str, probe: str) -> str:
    shown_phase = f", {phase}" if phase != "steady" else ""
    return f"{shown_phase}, probe: {probe}" if probe else shown_phase


def _patch(patch: Any) -> str:  # noqa: ANN401  - JSON
    """Return the part of a step's patch that moves traffic; ``-o json`` has the whole patch."""
    spec = patch.get("spec") if isinstance(patch, dict) else None
    return f" {json.dumps(spec)}" if spec else ""


def _evidence(summary: CauseSummary) -> str:
    verdicts = ", ".join(f"{verdict} {count}" for verdict, count in summary.verdicts.items())
    critical = f", critical by {summary.critical}" if summary.critical else ""
    attributed = f", attributed to {summary.attributed}" if summary.attributed else ""
    return f"{summary.weight} {summary.kind or 'healthy'}: {summary.cause}{critical}{attributed} ({verdicts})"


# -- lines -----------------------------------------------------------------------------------------------------------


def _time(entry: Entry) -> str:
    return time_of_day(rfc3339(entry.now))


def _row(title: str, text: str, *, deeper: int = 0, colour: str | None = None) -> Iterator[str]:
    """Yield a text beside its title, wrapped to the width of the page."""
    margin = " " * (MARGIN + deeper)
    lines = wrap(one_line(text), WIDTH - len(margin)) or [""]
    yield f"{title:>10}  {' ' * deeper}{click.style(lines[0], fg=colour)}"
    yield from (f"{margin}{line}" for line in lines[1:])
