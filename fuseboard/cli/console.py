"""What ``fuseboard up`` shows: one readable line per transition and per step."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
import msgspec

from fuseboard.errors import FuseboardError
from fuseboard.events import BREAKER_EVENTS, FAILOVER_EVENTS, BreakerMoved, FailoverDone, Foreign

if TYPE_CHECKING:
    from fuseboard.events import Event
    from fuseboard.stores import Store

_COLOURS: Final = {"CLOSED": "green", "LIMITED": "yellow", "OPEN": "red", "HALF_OPEN": "cyan"}
_REMEMBERED: Final = 1_000


class Console:
    """Writes lines for people; an event that is delivered again is not shown again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shown: OrderedDict[str, None] = OrderedDict()

    def show(self, event: Event) -> None:
        """Show an event, if it is one that people want to see."""
        if event.type not in BREAKER_EVENTS | FAILOVER_EVENTS or event.id in self._shown:
            return
        self._shown[event.id] = None
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        content = event.data.content if isinstance(event.data, Foreign) else msgspec.to_builtins(event.data)
        if event.type in BREAKER_EVENTS:
            self._transition(event, msgspec.convert(content, BreakerMoved))
        else:
            self._step(event, msgspec.convert(content, FailoverDone))

    def _transition(self, event: Event, moved: BreakerMoved) -> None:
        change = click.style(f"{moved.previous} → {moved.state}", fg=_COLOURS[moved.state], bold=True)
        causes = f"  ({'; '.join(moved.causes[:3])})" if moved.causes else ""
        self._line(event, f"{change}  {moved.reason}{causes}")

    def _step(self, event: Event, done: FailoverDone) -> None:
        shares = ", ".join(f"{name} {share} %" for name, share in done.shares.items() if share)
        how = "rehearsed" if done.rehearsed else done.result
        self._line(event, f"  placement {done.epoch}.{done.step}: {shares}  {how}: {done.reason}")
        patch = self._patch(event.subject, done)
        if patch and done.rehearsed:
            self._line(event, f"  would send: {patch}")

    def _patch(self, key: str, done: FailoverDone) -> str:
        try:
            entries = self._store.journal([key], 5)
        except FuseboardError:
            return ""
        found = (
            each for each in entries if each.kind == "result" and (each.epoch, each.step) == (done.epoch, done.step)
        )
        patch = next((each.patch for each in found if each.patch), None)
        return json.dumps(patch) if patch else ""

    def _line(self, event: Event, text: str) -> None:
        moment = datetime.fromtimestamp((event.time or 0) / 1000).astimezone()
        click.echo(f"{moment:%H:%M:%S}  {event.subject}  {text}")
