"""Tell breakers and placements that a time they wait for has come.

What is due stands in the store, in order of time, written by the decision that waits for it. Looking costs the same for
one breaker as for ten thousand. An entry stays until a later decision settles it: what is lost comes again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.errors import InvalidInput, Unavailable
from fuseboard.events import Event, StepDue, TimerElapsed, digest
from fuseboard.sinks import HttpSink
from fuseboard.stores import TIMER
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from threading import Event as Flag

    from fuseboard.settings import Settings
    from fuseboard.sinks import Sink
    from fuseboard.stores import Due, Store

LOOK_EVERY_S: Final = 0.25
AT_ONCE: Final = 500
SOURCE: Final = "/clock"


@dataclass(frozen=True, slots=True)
class Clock:
    """Sends what is due to the broker; two clocks send the same ids."""

    store: Store
    sink: Sink

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        while not stop.wait(LOOK_EVERY_S):
            try:
                self.tick()
            except Unavailable as error:
                logs.logger().warning("clock.waiting", error=str(error))
                stop.wait(1.0)

    def tick(self) -> int:
        """Send everything that is due now; return how much that was.

        Raises:
            Unavailable: the store does not answer.

        """
        now, due = self.store.take_due(AT_ONCE)
        for each in due:
            try:
                self.sink.send(_event(each, now))
            except (Unavailable, InvalidInput) as error:
                # It comes again by itself, and the others are due as well.
                logs.logger().warning("clock.not_sent", breaker=each.key, kind=each.kind, error=str(error))
        return len(due)


def new(settings: Settings) -> Clock:
    """Return the clock, connected."""
    return Clock(open_store(settings.need_redis()), HttpSink(settings.need_sink()))


def _event(due: Due, now: int) -> Event:
    data = TimerElapsed(due_at=due.at) if due.kind == TIMER else StepDue(due_at=due.at)
    name = digest(due.key, due.kind, str(due.at), str(due.attempt))
    return Event(id=name, source=SOURCE, subject=due.key, data=data, time=now)
