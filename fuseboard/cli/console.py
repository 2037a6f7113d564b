"""What ``fuseboard up`` shows: one readable line per transition and per step."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
import msgspec

from fuseboard.errors import FuseboardError
from fuseboard.events.event import Foreign
from fuseboard.events.types import BREAKER_EVENTS, FAILOVER_EVENTS, BreakerMoved, FailoverDone

if TYPE_CHECKING:
    from fuseboard.events.event import Event
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
        how = f"{done.result}, rehearsed" if done.rehearsed else done.result
        would = f"  would patch {self._patch(event.subject, done)}" if done.rehearsed else ""
        self._line(event, f"  placement {done.epoch}.{done.step}: {shares}  ({how}) {done.reason}{would}")

    def _patch(self, key: str, done: FailoverDone) -> str:
        """Return what a rehearsed step would change for the traffic; the journal has the whole patch."""
        try:
            entries = self._store.journal([key], 5)
        except FuseboardError:
            return ""
        steps = (each for each in entries if (each.kind, each.epoch, each.step) == ("result", done.epoch, done.step))
        patch: dict[str, object] = next((each.patch for each in steps if each.patch), {})
        return json.dumps(patch.get("spec", "its fence only"))

    def _line(self, event: Event, text: str) -> None:
        moment = datetime.fromtimestamp((event.time or 0) / 1000).astimezone()
        click.echo(f"{moment:%H:%M:%S}  {event.subject}  {text}")
