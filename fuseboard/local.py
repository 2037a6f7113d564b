"""The local broker: the Triggers of the manifests, in one process.

What is routed here is what is deployed: it reads the Triggers under ``knative/base``, and keeps Knative's rules for
answers, retries and dead letters (knative/eventing: ``pkg/broker/filter/filter_handler.go``, ``pkg/kncloudevents/
retries.go``). Like Knative's in-memory channel it answers when every function has; unlike it, what comes in waits in
the outbox until then.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta, Struct
from msgspec.structs import replace

from fuseboard import logs
from fuseboard.errors import CannotStart, FuseboardError, InvalidInput, SinkUnavailable
from fuseboard.events import MAX_EVENT_BYTES, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Event as Flag

    from cloudevents.core.bindings.http import HTTPMessage

    from fuseboard.events import Event
    from fuseboard.function import Answer

    Post = Callable[[str, HTTPMessage], Answer]
    """Posts a message to a function by its name."""

RETRIED: Final = frozenset({404, 408, 409, 429})
"""Answers that Knative tries again, besides 5xx (``kncloudevents/retries.go``: SelectiveRetry)."""

MAX_HOPS: Final = 16
"""Replies to replies: Fuseboard's functions answer down one way, so more than a few is somebody's loop."""

ERROR_DATA_BYTES: Final = 1024

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is there: reading the Triggers was most of what `fuseboard up` did before it listened."""
_ISO_SECONDS: Final = re.compile(r"^PT(\d+(?:\.\d+)?)S$")
_DIALECTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": lambda found, wanted: found == wanted,
    "prefix": lambda found, wanted: found.startswith(wanted),
    "suffix": lambda found, wanted: found.endswith(wanted),
}


class _Wire(Struct, frozen=True, rename="camel"):
    """A part of a Trigger's manifest."""


class Reference(_Wire, frozen=True):
    """A Knative Service by its name."""

    name: str


class Destination(_Wire, frozen=True):
    """Where events go."""

    ref: Reference


class Delivery(_Wire, frozen=True):
    """How often, how fast and where to in the end (Knative Eventing, DeliverySpec)."""

    dead_letter_sink: Destination
    retry: Annotated[int, Meta(ge=0)]
    backoff_policy: str
    backoff_delay: Annotated[str, Meta(pattern=_ISO_SECONDS.pattern)]
    timeout: Annotated[str, Meta(pattern=_ISO_SECONDS.pattern)]

    def waits_s(self) -> Iterator[float]:
        """Yield the waits between tries, in seconds."""
        delay = _seconds(self.backoff_delay)
        for attempt in range(self.retry):
            yield delay * (2**attempt if self.backoff_policy == "exponential" else attempt)


class TriggerSpec(_Wire, frozen=True):
    """What a Trigger says."""

    broker: str
    subscriber: Destination
    delivery: Delivery
    filters: tuple[dict[str, Any], ...] = ()


class Trigger(Struct, frozen=True):
    """Which events go to which function."""

    name: str
    spec: TriggerSpec

    def lets_through(self, event: Event) -> bool:
        """Say whether the event passes all filters."""
        attributes = {"type": event.type, "source": event.source, "subject": event.subject, "id": event.id}
        return all(_passes(each, {**event.extensions, **attributes}) for each in self.spec.filters)


def manifests() -> Path:
    """Return the folder of the manifests: beside the package in a checkout, inside of it when installed."""
    here = Path(__file__).parent
    return next(path for path in (here / "knative", here.parent / "knative") if path.is_dir())


def read_triggers(folder: Path) -> tuple[Trigger, ...]:
    """Read the Triggers among some manifests.

    Raises:
        CannotStart: one of them cannot be kept here.

    """
    triggers = []
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), _Loader):
            if not document or document.get("kind") != "Trigger":
                continue
            try:
                spec = msgspec.convert(document["spec"], TriggerSpec)
                _check_filters(spec.filters)
            except (msgspec.ValidationError, ValueError) as error:
                raise CannotStart(f"{path}: the Trigger cannot be kept by the local broker: {error}") from error
            triggers.append(Trigger(document["metadata"]["name"], spec))
    return tuple(triggers)


class LocalBroker:
    """Delivers events to functions of this process."""

    def __init__(self, triggers: Sequence[Trigger], post: Post, stop: Flag, seen: Callable[[Event], None]) -> None:
        """``stop`` ends waits between tries; ``seen`` is told of every event that was taken in."""
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

    def _attempt(self, trigger: Trigger, event: Event, hops: int) -> Answer | None:
        """Deliver once; return the answer if it was a failure."""
        answer = self._post(trigger.spec.subscriber.ref.name, encode(event))
        if not _succeeded(answer):
            return answer
        if answer.body:
            self._publish(decode(answer.headers, answer.body), hops - 1)
        return None

    def _try_again(self, trigger: Trigger, event: Event, failure: Answer, hops: int) -> None:
        for wait_s in trigger.spec.delivery.waits_s():
            if not _is_retried(failure):
                break
            self._wait(wait_s, trigger)
            again = self._attempt(trigger, event, hops)
            if again is None:
                return
            failure = again
        self._bury(trigger, event, failure)

    def _bury(self, trigger: Trigger, event: Event, failure: Answer) -> None:
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
            answer = self._post(destination, encode(letter))
            if _succeeded(answer):
                return
            if not _is_retried(answer):
                raise InvalidInput(f"{destination} will never take the dead letter {event.id} of {trigger.name}")
        raise SinkUnavailable(f"{destination} does not take the dead letter {event.id} of {trigger.name}")

    def _wait(self, seconds: float, trigger: Trigger) -> None:
        if self._stop.wait(seconds):
            logs.logger().info("broker.stopping", trigger=trigger.name)
            raise SinkUnavailable("the broker is stopping")


def _succeeded(answer: Answer) -> bool:
    """Say whether an answer is a success to Knative: 2xx, and a body only if it is an event."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004  - HTTP's own classes
        return False
    is_event = any(name.startswith("ce-") for name in answer.headers) and len(answer.body) <= MAX_EVENT_BYTES
    return not answer.body or is_event


def _is_retried(failure: Answer) -> bool:
    # A body that is no event is a 502 to Knative, and tried again.
    return failure.status < 300 or failure.status in RETRIED or failure.status >= 500  # noqa: PLR2004  - as above


def _passes(filter_: dict[str, Any], attributes: dict[str, str]) -> bool:
    """Evaluate a filter of the CloudEvents subscriptions API, as Knative's ``spec.filters`` has it."""
    ((dialect, expression),) = filter_.items()
    if dialect == "any":
        return any(_passes(each, attributes) for each in expression)
    if dialect == "all":
        return all(_passes(each, attributes) for each in expression)
    if dialect == "not":
        return not _passes(expression, attributes)
    return all(_DIALECTS[dialect](attributes.get(name, ""), value) for name, value in expression.items())


def _check_filters(filters: Sequence[dict[str, Any]]) -> None:
    for each in filters:
        ((dialect, expression),) = each.items()
        if dialect in ("any", "all"):
            _check_filters(expression)
        elif dialect == "not":
            _check_filters([expression])
        elif dialect not in _DIALECTS:
            raise ValueError(f"it knows no filter {dialect!r}: use exact, prefix, suffix, all, any or not")


def _seconds(duration: str) -> float:
    found = _ISO_SECONDS.match(duration)
    return float(found[1]) if found else 0.0
