"""The output of ``fuseboard up``: a line for each transition and each placement step."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
import msgspec

from fuseboard.cli.wording import COLOURS, shares
from fuseboard.errors import FuseboardError
from fuseboard.events.event import Foreign
from fuseboard.events.types import BREAKER_EVENTS, FAILOVER_EVENTS, BreakerMoved, FailoverDone

if TYPE_CHECKING:
    from fuseboard.events.event import Event
    from fuseboard.stores import Store

_REMEMBERED: Final = 1_000
_CAUSES: Final = 3
_ENTRIES: Final = 5
"""Journal entries that are searched for the patch of a step."""


class Console:
    """Prints events, and skips repeated deliveries of an event."""

    def __init__(self, store: Store) -> None:
        """``store`` has the journal with the patches of rehearsed steps."""
        self._store = store
        self._shown: OrderedDict[str, None] = OrderedDict()

    def show(self, event: Event) -> None:
        """Print a transition or a placement step; other events are ignored."""
        if event.type not in BREAKER_EVENTS | FAILOVER_EVENTS or event.id in self._shown:
            return
        self._shown[event.id] = None
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        content = event.data.content if isinstance(event.data, Foreign) else msgspec.to_builtins(event.data)
        if event.type in BREAKER_EVENTS:
            _print(event, _transition(msgspec.convert(content, BreakerMoved)))
        else:
            _print(event, self._step(event.subject, msgspec.convert(content, FailoverDone)))

    def _step(self, key: str, done: FailoverDone) -> str:
        how = f"{done.result}, rehearsed" if done.rehearsed else done.result
        patch = f"  would patch {self._patch(key, done)}" if done.rehearsed else ""
        return f"  placement {done.epoch}.{done.step}: {shares(done.shares)}  ({how}) {done.reason}{patch}"

    def _patch(self, key: str, done: FailoverDone) -> str:
        """Return the part of a rehearsed patch for the traffic; the journal has the whole patch."""
        try:
            entries = self._store.journal([key], _ENTRIES)
        except FuseboardError:
            return ""
        step = ("result", done.epoch, done.step)
        steps = (each for each in entries if each.patch and (each.kind, each.epoch, each.step) == step)
        patch: dict[str, object] = next((each.patch for each in steps), {})
        return json.dumps(patch.get("spec", "its fence only"))


def _transition(moved: BreakerMoved) -> str:
    change = click.style(f"{moved.previous} → {moved.state}", fg=COLOURS.get(moved.state), bold=True)
    causes = f"  ({'; '.join(moved.causes[:_CAUSES])})" if moved.causes else ""
    return f"{change}  {moved.reason}{causes}"


def _print(event: Event, text: str) -> None:
    local = datetime.fromtimestamp((event.time or 0) / 1000).astimezone()
    click.echo(f"{local:%H:%M:%S}  {event.subject}  {text}")
