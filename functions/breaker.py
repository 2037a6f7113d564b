"""Move the breaker of a signal.

Runs as a Knative Service. Replies with at most one event; a duplicate gets the same reply.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from fuseboard.breaker.step import step
from fuseboard.errors import FuseboardError, NotEnrolled, RecordCorrupt
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import BREAKER_EVENTS, SIGNALS, TimerElapsed
from fuseboard.stores.records import Change, Entry

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import Dependency
    from fuseboard.breaker.step import Decision
    from fuseboard.delivery.connections import Connections
    from fuseboard.events.types import EventTypes
    from fuseboard.stores import Store


@dataclass(frozen=True, slots=True)
class Breaker:
    """Moves the breaker of a signal."""

    consumes: ClassVar[EventTypes] = SIGNALS
    emits: ClassVar[EventTypes] = BREAKER_EVENTS
    store: Store

    def handle(self, event: Event) -> Event | None:
        """Decide on a signal; return the announcement of a transition, if any."""
        names: tuple[str, ...] = ()
        while True:
            dependencies = self._dependencies(event.subject, names)
            try:
                answer = self.store.change(event.subject, partial(_decide, event, names, dependencies)).answer
            except _OthersNeededError as error:
                names = error.names
            else:
                return answer if isinstance(answer, Event) else None

    def _dependencies(self, key: str, names: tuple[str, ...]) -> tuple[Dependency, ...]:
        """Return the breakers of these names as they stand; names outside the table excuse no failure."""
        found = []
        for name in names:
            with suppress(NotEnrolled, RecordCorrupt):
                found.append(self.store.read(f"{key.partition('/')[0]}/{name}").as_dependency)
        return tuple(found)

    def check(self) -> None:
        """Do nothing if the store answers."""
        self.store.check()


def new(connections: Connections) -> Breaker:
    """Return the function."""
    return Breaker(connections.store)


class _OthersNeededError(FuseboardError):
    """The policy depends on breakers that were not read."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names


def _decide(event: Event, names: tuple[str, ...], dependencies: tuple[Dependency, ...], row: Row) -> Change:
    """Decide on a row; its dependencies are read only if the policy names any."""
    if row.policy.spec.depends_on != names:
        raise _OthersNeededError(row.policy.spec.depends_on)
    decision = step(row, event, dependencies)
    # The id of the announcement follows from its cause: safe to send twice, and a duplicate gets the same reply.
    return Change(
        decision.after.state, decision.after.placement, _entries(event, decision), decision.announcement(event)
    )


def _entries(event: Event, decision: Decision) -> tuple[Entry, ...]:
    """Return the journal entry of a decision; duplicates and timers without effect have none."""
    if decision.duplicate or not (decision.weighed or decision.moved or decision.noted or decision.stale):
        return ()
    moved = decision.moved
    entry = Entry(
        kind="step",
        event=event.name,
        type=event.type,
        time=event.time,
        signal=None if isinstance(event.data, TimerElapsed | Foreign) else event.data,
        weighed=decision.weighed,
        previous=decision.before.state.state if moved else "",
        state=decision.after.state.state,
        epoch=decision.after.state.epoch,
        result="stale" if decision.stale else "",
        reason=decision.after.state.reason if moved else "",
    )
    return (entry,)
