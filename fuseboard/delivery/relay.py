"""The relay: takes events from the outbox to the broker.

The events of a breaker are sent in order, and different breakers in parallel. Events that the broker refuses are
retried with back-off. Several relays share the outbox: the events of a relay that died are taken over.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final

from fuseboard import logs, metrics
from fuseboard.delivery.loops import log_bug
from fuseboard.errors import InvalidInput, SinkUnavailable, StoreUnavailable
from fuseboard.times import back_off, jittered

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event as Flag

    from fuseboard.delivery.connections import Connections
    from fuseboard.delivery.sinks import Sink
    from fuseboard.events.event import Event
    from fuseboard.stores.queue import EventQueue

    Look = Callable[[str, int], list[tuple[str, Event]]]
    """A way to find events to deliver, for a relay's name and a number."""
    Lane = deque[tuple[str, Event]]
    """Events of a breaker, by their ids in the outbox; the first is being delivered."""

LANES: Final = 16
IN_HAND: Final = 256
FIRST_WAIT_S: Final = 0.2
LAST_WAIT_S: Final = 60.0
HOLD_EVERY_S: Final = 5.0
"""A third of the time after which another relay takes over."""


class Relay:
    """Delivers events until it is stopped; undelivered ones stay in the outbox."""

    def __init__(self, queue: EventQueue, sink: Sink, name: str) -> None:
        """``name`` must be unique: after a restart, a relay finds its undelivered events by name."""
        self._queue = queue
        self._sink = sink
        self._name = name
        self._room = BoundedSemaphore(IN_HAND)
        self._lock = Lock()
        self._lanes: dict[str, Lane] = {}

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        with ThreadPoolExecutor(LANES, thread_name_prefix="relay") as pool:
            look: Look = partial(self._queue.take, again=True)  # undelivered when this relay last stopped
            next_look = 0.0
            while not stop.is_set():
                taken = self._look(look, stop)
                for identifier, event in taken or ():
                    self._enter(pool, identifier, event, stop)
                if taken is None:
                    continue  # the store did not answer: the same look again
                look = self._queue.take
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + HOLD_EVERY_S
                    look = self._others

    def check(self) -> None:
        """See ``Watcher.check``."""
        self._queue.check()

    def _look(self, look: Look, stop: Flag) -> list[tuple[str, Event]] | None:
        try:
            return look(self._name, IN_HAND)
        except StoreUnavailable as error:
            logs.logger().warning("relay.store_unavailable", error=str(error))
            stop.wait(FIRST_WAIT_S * 5)
            return None

    def _others(self, relay: str, count: int) -> list[tuple[str, Event]]:
        """Keep the claim on undelivered events, and take over those of a dead relay."""
        with self._lock:
            mine = [identifier for lane in self._lanes.values() for identifier, _ in lane]
        if mine:
            self._queue.hold(relay, mine)
        metrics.waiting(self._queue.waiting())
        return [each for each in self._queue.take_over(relay, count) if each[0] not in mine]

    def _enter(self, pool: ThreadPoolExecutor, identifier: str, event: Event, stop: Flag) -> None:
        while not self._room.acquire(timeout=FIRST_WAIT_S):
            if stop.is_set():
                return
        with self._lock:
            lane = self._lanes.setdefault(event.subject, deque())
            lane.append((identifier, event))
            is_first = len(lane) == 1
        if is_first:
            self._begin(pool, lane, stop)

    def _begin(self, pool: ThreadPoolExecutor, lane: Lane, stop: Flag) -> None:
        pool.submit(self._deliver_head, pool, lane, stop).add_done_callback(log_bug("relay.bug"))

    def _deliver_head(self, pool: ThreadPoolExecutor, lane: Lane, stop: Flag) -> None:
        """Deliver a lane's first event, then begin with the next."""
        identifier, event = lane[0]
        try:
            self._deliver(identifier, event, stop)
        finally:
            self._room.release()
            with self._lock:
                lane.popleft()
                if not lane:
                    del self._lanes[event.subject]
            if lane and not stop.is_set():
                self._begin(pool, lane, stop)

    def _deliver(self, identifier: str, event: Event, stop: Flag) -> None:
        for failures in count():
            if stop.is_set():
                return
            try:
                self._hand_over(identifier, event)
            except (SinkUnavailable, StoreUnavailable) as error:
                wait = back_off(FIRST_WAIT_S, failures, LAST_WAIT_S)
                logs.logger().warning("relay.waiting", id=event.id, type=event.type, error=str(error), wait_s=wait)
                stop.wait(jittered(wait / 2, wait))
            else:
                return

    def _hand_over(self, identifier: str, event: Event) -> None:
        try:
            self._sink.send(event)
        except InvalidInput as error:
            logs.logger().error("relay.rejected", id=event.id, type=event.type, error=str(error))
            self._queue.reject(identifier, event, str(error))
        else:
            self._queue.done([identifier])


def new(connections: Connections) -> Relay:
    """Return the relay, known by the name of its pod."""
    return Relay(connections.outbox.queue, connections.sink, socket.gethostname())
