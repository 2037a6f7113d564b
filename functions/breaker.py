"""Move one breaker per signal.

Runs as one Knative Service. Replies with at most one event, and to a duplicate with the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fuseboard.breaker import step
from fuseboard.events import BREAKER_EVENTS, SIGNALS, Event, FailureDetected, FailureResolved
from fuseboard.stores import Change, Entry
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from fuseboard.breaker import Transition
    from fuseboard.events import EventTypes
    from fuseboard.settings import Settings
    from fuseboard.stores import Record, Store


@dataclass(frozen=True, slots=True)
class Breaker:
    """Moves one breaker per signal."""

    consumes: ClassVar[EventTypes] = SIGNALS
    emits: ClassVar[EventTypes] = BREAKER_EVENTS
    store: Store

    def handle(self, event: Event) -> Event | None:
        """Decide what the signal does to its breaker."""

        def decide(record: Record) -> Change:
            transition = step(record.breaker, record.placement, event, record.policy, record.now)
            # Its id follows from the cause: safe to send twice, and a duplicate gets the same.
            return Change(
                transition.breaker, record.placement, _entries(event, transition), transition.announcement(event)
            )

        answer = self.store.change(event.subject, decide).answer
        return answer if isinstance(answer, Event) else None

    def check(self) -> None:
        """Do nothing if the store answers."""
        self.store.check()


def new(settings: Settings) -> Breaker:
    """Return the function, connected."""
    return Breaker(open_store(settings.need_redis()))


def _entries(event: Event, transition: Transition) -> tuple[Entry, ...]:
    """Return what goes on the record: no duplicates, and no timer that changed nothing."""
    if transition.duplicate or not (transition.weighed or transition.moved):
        return ()
    moved = transition.moved
    entry = Entry(
        kind="step",
        event=f"{event.source} {event.id}",
        type=event.type,
        time=event.time,
        signal=event.data if isinstance(event.data, FailureDetected | FailureResolved) else None,
        weighed=transition.weighed,
        previous=transition.before.state if moved else "",
        state=transition.breaker.state,
        epoch=transition.breaker.epoch,
        reason=transition.breaker.reason if moved else "",
    )
    return (entry,)
