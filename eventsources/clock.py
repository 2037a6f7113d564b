"""Tell breakers and placements that their time has come.

Due entries stand in the store, in order of time, written by the decision that waits for them. A look costs the same for
a single breaker as for ten thousand. An entry stays until a later decision settles it, and a lost event comes again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.delivery.loops import every, log_bug
from fuseboard.errors import InvalidInput, Unavailable
from fuseboard.events.event import Event, digest
from fuseboard.events.types import StepDue, TimerElapsed
from fuseboard.stores.records import TIMER

if TYPE_CHECKING:
    from threading import Event as Flag

    from fuseboard.delivery.connections import Connections
    from fuseboard.delivery.sinks import Sink
    from fuseboard.stores import Store
    from fuseboard.stores.records import Due

LOOK_EVERY_S: Final = 0.25
AT_ONCE: Final = 500
LANES: Final = 16
SOURCE: Final = "/clock"


@dataclass(frozen=True, slots=True)
class Clock:
    """Sends due entries to the broker; two clocks send the same ids."""

    store: Store
    sink: Sink

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        with ThreadPoolExecutor(LANES, thread_name_prefix="clock") as pool:
            for _ in every(LOOK_EVERY_S, stop):
                try:
                    # A broker answers when its functions have: a slow function must not delay further events.
                    for event in self.due():
                        pool.submit(self.send, event).add_done_callback(log_bug("clock.bug"))
                except Unavailable as error:
                    logs.logger().warning("clock.waiting", error=str(error))
                    stop.wait(1.0)

    def check(self) -> None:
        """See ``Watcher.check``."""
        self.store.check()

    def due(self) -> list[Event]:
        """Return an event for each entry that is due now.

        Raises:
            Unavailable: the store does not answer.

        """
        now, due = self.store.take_due(AT_ONCE)
        return [_event(each, now) for each in due]

    def send(self, event: Event) -> None:
        """Send an event; if the sink refuses, the entry comes again."""
        try:
            self.sink.send(event)
        except (Unavailable, InvalidInput) as error:
            logs.logger().warning("clock.not_sent", breaker=event.subject, type=event.type, error=str(error))


def new(connections: Connections) -> Clock:
    """Return the clock."""
    return Clock(connections.store, connections.sink)


def _event(due: Due, now: int) -> Event:
    data = TimerElapsed(due_at=due.at) if due.kind == TIMER else StepDue(due_at=due.at)
    name = digest(due.key, due.kind, str(due.at), str(due.attempt))
    return Event(id=name, source=SOURCE, subject=due.key, data=data, time=now)
