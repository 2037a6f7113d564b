"""The local broker keeps Knative's rules."""

from __future__ import annotations

import base64
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.delivery.local_broker import FunctionAnswer, LocalBroker
from fuseboard.delivery.triggers import Trigger, manifests, read_triggers
from fuseboard.errors import CannotStart, FuseboardError, InvalidInput, SinkUnavailable
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected, StepDue, TimerElapsed
from fuseboard.events.wire import decode, encode

if TYPE_CHECKING:
    from pathlib import Path

    from cloudevents.core.bindings.http import HTTPMessage

SIGNAL = Event(
    id="1", source="/t", subject="shop/login", data=FailureDetected(failures=(Failure(key="k", cause="c"),)), time=5
)
REPLY = Event(id="2", source="/t", subject="shop/login", data=StepDue(due_at=1), time=6)
DONE = FunctionAnswer(202, {}, b"")

MANIFEST = """
kind: Service
---
kind: Trigger
metadata: {{name: one}}
spec:
  broker: fuseboard
  filters: [{filters}]
  subscriber: {{ref: {{kind: Service, name: one}}}}
  delivery:
    {{retry: {retry}, backoffPolicy: exponential, backoffDelay: PT0.001S, timeout: PT10S,
     deadLetterSink: {{ref: {{name: dead}}}}}}
"""


class Functions:
    """Functions that answer as they are told; their last answer is repeated."""

    def __init__(self, **answers: list[FunctionAnswer]) -> None:
        self.answers = answers
        self.posted: list[tuple[str, HTTPMessage]] = []
        self.timeouts: set[float] = set()

    def post(self, name: str, message: HTTPMessage, timeout_s: float) -> FunctionAnswer:
        self.posted.append((name, message))
        self.timeouts.add(timeout_s)
        mine = self.answers.get(name, [DONE])
        return mine.pop(0) if len(mine) > 1 else mine[0]

    def names(self) -> list[str]:
        return [name for name, _ in self.posted]


def trigger(tmp_path: Path, filters: str = "", retry: int = 3) -> tuple[Trigger, ...]:
    """Return a Trigger as a manifest has it."""
    (tmp_path / "one.yaml").write_text(MANIFEST.format(filters=filters, retry=retry), encoding="utf-8")
    return read_triggers(tmp_path)


def broker(triggers: tuple[Trigger, ...], functions: Functions, stop: Flag | None = None) -> LocalBroker:
    """Return a broker of these functions."""
    return LocalBroker(triggers, functions.post, stop or Flag(), lambda _: None)


def failing(status: int, body: bytes = b"") -> FunctionAnswer:
    """Return an answer that is no success."""
    return FunctionAnswer(status, {"content-type": "text/plain"}, body)


def test_an_event_reaches_the_functions_whose_filters_it_passes(tmp_path: Path) -> None:
    """The filter decides by exact type; other events stay away."""
    functions = Functions()
    sender = broker(trigger(tmp_path, "{exact: {type: dev.fuseboard.failure.detected}}"), functions)

    sender.send(SIGNAL)
    sender.send(REPLY)

    assert functions.names() == ["one"]


def test_a_function_has_as_long_as_its_trigger_gives_it(tmp_path: Path) -> None:
    """Every try of an event and of its dead letter waits for ``delivery.timeout``, as in Knative."""
    functions = Functions(one=[failing(500)])

    broker(trigger(tmp_path), functions).send(SIGNAL)

    assert set(functions.names()) == {"one", "dead"}
    assert functions.timeouts == {10.0}


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ("", True),
        ("{prefix: {type: dev.fuseboard.failure.}}", True),
        ("{suffix: {type: .detected}}", True),
        ("{any: [{exact: {type: x}}, {exact: {source: /t}}]}", True),
        ("{all: [{exact: {source: /t}}, {exact: {subject: shop/login}}]}", True),
        ("{not: {exact: {source: /t}}}", False),
        ("{all: [{exact: {source: /t}}, {exact: {subject: shop/cart}}]}", False),
        ("{exact: {type: x}}", False),
        ("{exact: {source: /t, subject: shop/cart}}", False),
    ],
)
def test_filters_are_those_of_the_subscriptions_api(tmp_path: Path, filters: str, passes: bool) -> None:  # noqa: FBT001  - pytest's parameter
    """exact, prefix, suffix, any, all and not decide as in Knative."""
    (one,) = trigger(tmp_path, filters)

    assert one.lets_through(SIGNAL) is passes


def test_a_filter_that_cannot_be_kept_is_refused_at_start(tmp_path: Path) -> None:
    """CloudEvents SQL is not evaluated here, and is not silently let through."""
    with pytest.raises(CannotStart, match=r"one\.yaml.*cesql"):
        trigger(tmp_path, "{cesql: \"type = 'x'\"}")


def test_a_trigger_without_dead_letters_is_refused_at_start(tmp_path: Path) -> None:
    """Every Trigger has retries with back-off, a timeout and a dead-letter sink."""
    (tmp_path / "one.yaml").write_text(
        "kind: Trigger\nmetadata: {name: one}\nspec: {broker: b, subscriber: {ref: {name: one}}, delivery: {retry: 1}}"
    )

    with pytest.raises(CannotStart, match="deadLetterSink"):
        read_triggers(tmp_path)


def test_a_reply_is_an_event_of_its_own(tmp_path: Path) -> None:
    """What a function replies goes through the Triggers again, with its id and time."""
    message = encode(REPLY)
    functions = Functions(one=[FunctionAnswer(200, message.headers, message.body), DONE])

    broker(trigger(tmp_path), functions).send(SIGNAL)

    assert functions.names() == ["one", "one"]
    again = decode(functions.posted[1][1].headers, functions.posted[1][1].body)
    assert (again.id, again.type, again.time) == (REPLY.id, REPLY.type, REPLY.time)


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(tmp_path: Path, status: int) -> None:
    """Knative retries 404, 408, 409, 429 and 5xx; the second try succeeds and nothing is buried: F3."""
    functions = Functions(one=[failing(status), DONE])

    broker(trigger(tmp_path), functions).send(SIGNAL)

    assert functions.names() == ["one", "one"]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 410, 413, 415, 422])
def test_what_never_will_work_is_buried_at_once(tmp_path: Path, status: int) -> None:
    """Other 4xx and redirects go to the dead letters after one attempt: F3, P3."""
    functions = Functions(one=[failing(status, b"why")])

    broker(trigger(tmp_path), functions).send(SIGNAL)

    assert functions.names() == ["one", "dead"]
    letter = decode(functions.posted[1][1].headers, functions.posted[1][1].body)
    assert (letter.id, letter.extensions["knativeerrorcode"]) == (SIGNAL.id, str(status))
    assert base64.b64decode(letter.extensions["knativeerrordata"]) == b"why"


def test_a_success_with_a_body_that_is_no_event_is_a_failure(tmp_path: Path) -> None:
    """200 and "OK" is tried again, then buried, as Knative does: F1."""
    functions = Functions(one=[FunctionAnswer(200, {"content-type": "text/plain"}, b"OK")])

    broker(trigger(tmp_path, retry=2), functions).send(SIGNAL)

    assert functions.names() == ["one", "one", "one", "dead"]


def test_retries_end(tmp_path: Path) -> None:
    """After the retries of the Trigger, the event is a dead letter."""
    functions = Functions(one=[failing(503)])

    broker(trigger(tmp_path, retry=4), functions).send(SIGNAL)

    assert functions.names() == ["one"] * 5 + ["dead"]


def test_a_failing_function_does_not_keep_the_event_from_others(tmp_path: Path) -> None:
    """The other Trigger's function has the event before the failing one is tried again."""
    (one,) = trigger(tmp_path)
    (other,) = read_triggers(_renamed(tmp_path))
    functions = Functions(one=[failing(503), failing(503), DONE])

    broker((one, other), functions).send(SIGNAL)

    assert functions.names() == ["one", "two", "one", "one"]


def _renamed(folder: Path) -> Path:
    other = folder / "other"
    other.mkdir()
    text = (folder / "one.yaml").read_text(encoding="utf-8").replace("name: one", "name: two")
    (other / "two.yaml").write_text(text, encoding="utf-8")
    return other


def test_a_dead_letter_that_nobody_takes_stays_with_the_sender(tmp_path: Path) -> None:
    """When the dead-letter sink fails as well, the sender is told, and sends again later: fault 18."""
    functions = Functions(one=[failing(400)], dead=[failing(503)])

    with pytest.raises(SinkUnavailable, match="dead letter"):
        broker(trigger(tmp_path), functions).send(SIGNAL)


def test_a_dead_letter_that_will_never_be_taken_is_said_so(tmp_path: Path) -> None:
    """What the dead-letter sink refuses for good is put aside by the sender: it must not block its successors."""
    functions = Functions(one=[failing(400)], dead=[failing(400)])

    with pytest.raises(InvalidInput, match="never"):
        broker(trigger(tmp_path), functions).send(SIGNAL)
    assert functions.names() == ["one", "dead"]


def test_stopping_ends_the_wait_and_keeps_the_event(tmp_path: Path) -> None:
    """A broker that stops between two tries does not bury the event: the sender still has it."""
    stop = Flag()
    stop.set()
    functions = Functions(one=[failing(503)])

    with pytest.raises(SinkUnavailable):
        broker(trigger(tmp_path), functions, stop).send(SIGNAL)
    assert functions.names() == ["one"]


def test_a_loop_of_replies_ends(tmp_path: Path) -> None:
    """A function that answers its own answers is stopped, not followed for ever."""
    message = encode(REPLY)
    functions = Functions(one=[FunctionAnswer(200, message.headers, message.body)])

    with pytest.raises(FuseboardError, match="loop"):
        broker(trigger(tmp_path), functions).send(SIGNAL)
    assert len(functions.posted) < 20


def test_waits_are_knatives(tmp_path: Path) -> None:
    """Exponential: 0.2, 0.4 ... 102.4 s, in sum 204.6 s; linear begins at 0: F5."""
    triggers: dict[str, Any] = {each.name: each.spec.delivery for each in read_triggers(manifests() / "base")}

    waits = list(triggers["breaker"].waits_s())

    assert (waits[0], waits[-1], round(sum(waits), 1)) == (0.2, 102.4, 204.6)
    (linear,) = read_triggers(_linear(tmp_path))
    assert list(linear.spec.delivery.waits_s()) == [0.0, 0.001]


def _linear(folder: Path) -> Path:
    text = MANIFEST.format(filters="", retry=2).replace("exponential", "linear")
    (folder / "one.yaml").write_text(text, encoding="utf-8")
    return folder


def test_timers_and_debts_are_routed_by_the_manifests() -> None:
    """What the clock sends reaches the function that waits for it, and only the journal besides."""
    triggers = read_triggers(manifests() / "base")
    timer = Event(id="t", source="/clock", subject="a/b", data=TimerElapsed(due_at=1))

    assert {each.name for each in triggers if each.lets_through(timer)} == {"breaker", "journal"}
    assert {each.name for each in triggers if each.lets_through(REPLY)} == {"failover", "journal"}
