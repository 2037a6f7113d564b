"""The events of the outbox, as relays take them in a real Valkey."""

from __future__ import annotations

import time

from fuseboard.stores.connection import connect
from fuseboard.stores.outbox import RedisOutbox, open_outbox
from tests.stores.signals import ENTRY, signal


def test_what_was_taken_and_not_finished_is_found_again(redis_url: str) -> None:
    """A relay that died finds under its name what it had in hand, with the same time; the others do not get it."""
    outbox = open_outbox(redis_url)
    outbox.append([signal("1"), signal("2")], ENTRY)
    before = outbox.queue.take("one", 10)

    outbox.queue.done([before[0][0]])

    assert outbox.queue.take("two", 10) == []
    assert outbox.queue.take("one", 10, again=True) == [before[1]]
    outbox.queue.done([before[1][0]])
    assert outbox.queue.waiting() == 0


def test_what_a_living_relay_has_in_hand_is_left_to_it(redis_url: str) -> None:
    """A relay that waits for its sink holds on to its events, however long it takes."""
    outbox = RedisOutbox(connect(redis_url), held_ms=300)
    outbox.append([signal("1")], ENTRY)
    ((identifier, _),) = outbox.queue.take("living", 10)

    for _ in range(4):
        time.sleep(0.15)
        outbox.queue.hold("living", [identifier])
        assert outbox.queue.take_over("other", 10) == []
    assert [name for name, _ in outbox.queue.take("living", 10, again=True)] == [identifier]
