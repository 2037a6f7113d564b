"""The local broker: the Triggers of the manifests, in one process.

Routing is the same as when deployed: the broker reads the Triggers under ``knative/base``, and keeps Knative's rules
for answers, retries, timeouts and dead letters (knative/eventing: ``pkg/broker/filter/filter_handler.go``,
``pkg/kncloudevents/retries.go``). Like Knative's in-memory channel, the broker answers after every function has
answered; until then, a signal also waits in the outbox.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from fuseboard import logs
from fuseboard.errors import FuseboardError, InvalidInput, SinkUnavailable
from fuseboard.events.wire import MAX_EVENT_BYTES, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Event as Flag

    from cloudevents.core.bindings.http import HTTPMessage

    from fuseboard.delivery.triggers import Trigger
    from fuseboard.events.event import Event

RETRIED: Final = frozenset({404, 408, 409, 429})
"""Answers that Knative tries again, besides 5xx (``kncloudevents/retries.go``: SelectiveRetry)."""
MAX_HOPS: Final = 16
"""Replies to replies: Fuseboard's functions form a chain, and a longer one is a loop."""
ERROR_DATA_BYTES: Final = 1024


class FunctionAnswer(NamedTuple):
    """A function's answer to a POST; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


if TYPE_CHECKING:
    Post = Callable[[str, HTTPMessage, float], FunctionAnswer]
    """Posts a message to a function by its name, and waits for the answer, at most the given seconds."""


class LocalBroker:
    """Delivers events to functions of this process."""

    def __init__(self, triggers: Sequence[Trigger], post: Post, stop: Flag, seen: Callable[[Event], None]) -> None:
        """``stop`` ends waits between tries; ``seen`` is called with every event that was taken in."""
        self._triggers = triggers
        self._post = post
        self._stop = stop
        self._seen = seen

    def send(self, event: Event) -> None:
        """See ``Sink.send``: when this returns, every function has answered or the event is a dead letter."""
        self._publish(event, MAX_HOPS)

    def _publish(self, event: Event, hops: int) -> None:
        if not hops:
            raise FuseboardError(f"{event.type} {event.id}: a reply to a reply to a reply, {MAX_HOPS} times: a loop")
        self._seen(event)
        pending = [(trigger, self._attempt(trigger, event, hops)) for trigger in self._matching(event)]
        # Every function has been tried once before one that fails makes the others wait.
        for trigger, failure in pending:
            if failure is not None:
                self._try_again(trigger, event, failure, hops)

    def _matching(self, event: Event) -> Iterator[Trigger]:
        return (trigger for trigger in self._triggers if trigger.lets_through(event))

    def _attempt(self, trigger: Trigger, event: Event, hops: int) -> FunctionAnswer | None:
        """Deliver once; return the answer of a failure."""
        answer = self._post(trigger.spec.subscriber.ref.name, encode(event), trigger.spec.delivery.timeout_s)
        if not _succeeded(answer):
            return answer
        if answer.body:
            self._publish(decode(answer.headers, answer.body), hops - 1)
        return None

    def _try_again(self, trigger: Trigger, event: Event, failure: FunctionAnswer, hops: int) -> None:
        for wait_s in trigger.spec.delivery.waits_s():
            if not _is_retried(failure):
                break
            self._wait(wait_s, trigger)
            again = self._attempt(trigger, event, hops)
            if again is None:
                return
            failure = again
        self._bury(trigger, event, failure)

    def _bury(self, trigger: Trigger, event: Event, failure: FunctionAnswer) -> None:
        """Hand the event to the dead-letter sink, which is tried as often as the function was."""
        destination = trigger.spec.delivery.dead_letter_sink.ref.name
        data = base64.b64encode(failure.body[:ERROR_DATA_BYTES]).decode()
        marks = {
            "knativeerrordest": trigger.spec.subscriber.ref.name,
            "knativeerrorcode": str(failure.status),
            **({"knativeerrordata": data} if data else {}),
        }
        letter = replace(event, extensions={**event.extensions, **marks})
        for wait_s in (0.0, *trigger.spec.delivery.waits_s()):
            self._wait(wait_s, trigger)
            answer = self._post(destination, encode(letter), trigger.spec.delivery.timeout_s)
            if _succeeded(answer):
                return
            if not _is_retried(answer):
                raise InvalidInput(f"{destination} will never take the dead letter {event.id} of {trigger.name}")
        raise SinkUnavailable(f"{destination} does not take the dead letter {event.id} of {trigger.name}")

    def _wait(self, seconds: float, trigger: Trigger) -> None:
        if self._stop.wait(seconds):
            logs.logger().info("broker.stopping", trigger=trigger.name)
            raise SinkUnavailable("the broker is stopping")


def _succeeded(answer: FunctionAnswer) -> bool:
    """Say whether an answer is a success to Knative: 2xx, and any body is an event."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004  - HTTP's own classes
        return False
    is_event = any(name.startswith("ce-") for name in answer.headers) and len(answer.body) <= MAX_EVENT_BYTES
    return not answer.body or is_event


def _is_retried(failure: FunctionAnswer) -> bool:
    # A body that is no event is a 502 to Knative, and tried again.
    return failure.status < 300 or failure.status in RETRIED or failure.status >= 500  # noqa: PLR2004  - as above
