"""The HTTP contract, hop by hop."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import pytest
from flask import Blueprint
from werkzeug.test import Client

from fuseboard.errors import (
    Busy,
    ClusterUnavailable,
    Conflict,
    FuseboardError,
    NotEnrolled,
    RecordCorrupt,
    StoreUnavailable,
)
from fuseboard.events.event import Event
from fuseboard.events.types import (
    ANY,
    BREAKER_EVENTS,
    DATA_TYPES,
    SIGNALS,
    BreakerOpened,
    Failure,
    FailureDetected,
    StepDue,
)
from fuseboard.events.wire import MAX_EVENT_BYTES, decode, encode
from fuseboard.serving import apps, in_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event as Flag

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fuseboard.delivery.source import Notification
    from fuseboard.events.types import EventTypes

DETECTED = Event(
    id="1",
    source="/test",
    subject="shop/login",
    data=FailureDetected(failures=(Failure(key="k", cause="OOMKilling Pod/login-0"),)),
)
OPENED = BreakerOpened(state="OPEN", previous="CLOSED", epoch=1, mode="Enforce", since=5, reason="because")


@dataclass
class Scripted:
    """A function that does as it is told, and remembers what it was given."""

    consumes: ClassVar[EventTypes] = SIGNALS
    emits: ClassVar[EventTypes] = BREAKER_EVENTS
    do: Callable[[Event], Event | None] = lambda _: None
    given: list[Event] = field(default_factory=list)
    ill: bool = False

    def handle(self, event: Event) -> Event | None:
        self.given.append(event)
        return self.do(event)

    def check(self) -> None:
        if self.ill:
            raise StoreUnavailable("redis at nowhere: connection refused")


class Everything(Scripted):
    """A function behind a Trigger without a filter."""

    consumes: ClassVar[EventTypes] = ANY


def client(function: Scripted) -> FlaskClient:
    """Return a client of the function's app."""
    return apps.function_app(function, "scripted").test_client()


def post(function: Scripted, event: Event = DETECTED, *, structured: bool = False) -> TestResponse:
    """Post an event to a function."""
    message = encode(event, structured=structured)
    return client(function).post("/", data=message.body, headers=message.headers)


def raising(error: Exception) -> Scripted:
    """Return a function that raises."""

    def do(_: Event) -> None:
        raise error

    return Scripted(do)


def test_done_is_202_and_nothing_else() -> None:
    """A success without a reply has neither body nor content type: F1, F2."""
    answer = post(Scripted())

    assert (answer.status_code, answer.data, answer.headers.get("Content-Length")) == (202, b"", "0")
    assert "Content-Type" not in answer.headers


def test_reply_is_200_with_a_cloudevent() -> None:
    """A reply is a valid CloudEvent in binary mode whose id follows from its cause."""
    function = Scripted(lambda event: event.reply(OPENED, step="1", time=5))

    first, second = post(function), post(function)

    assert first.status_code == 200
    reply = decode(dict(first.headers), first.data, DATA_TYPES)
    assert (reply.type, reply.subject, reply.data) == ("dev.fuseboard.breaker.opened", "shop/login", OPENED)
    assert (first.data, first.headers["ce-id"]) == (second.data, second.headers["ce-id"])


def test_traceparent_is_passed_on() -> None:
    """A reply carries the trace of its cause, and no other extension."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cause = Event(
        id="1", source="/t", subject="shop/login", data=DETECTED.data, extensions={"traceparent": trace, "other": "x"}
    )

    answer = post(Scripted(lambda event: event.reply(OPENED, step="1", time=5)), cause)

    assert answer.headers["ce-traceparent"] == trace
    assert "ce-other" not in answer.headers


@pytest.mark.parametrize("structured", [False, True])
def test_both_modes_reach_the_function_alike(structured: bool) -> None:  # noqa: FBT001  - pytest's parameter
    """Binary and structured mode hand over the same event: fault 17."""
    function = Scripted()

    post(function, structured=structured)

    assert function.given == [DETECTED]


def test_an_event_of_no_concern_is_done_and_not_handled() -> None:
    """A type that the function does not consume is 202 and never reaches it: fault 25."""
    function = Scripted()

    assert post(function, Event(id="1", source="/t", subject="a/b", data=StepDue(due_at=1))).status_code == 202
    assert function.given == []


def test_an_unknown_type_is_done() -> None:
    """An event of somebody else's type is no error."""
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "com.example.thing"}

    assert client(Scripted()).post("/", data=b"{}", content_type="application/json", headers=headers).status_code == 202


def test_a_function_of_everything_takes_what_fits_no_schema() -> None:
    """Journal and dead letters get an event whose data break its schema, as it came."""
    function = Everything()
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "dev.fuseboard.failure.detected"}

    answer = client(function).post("/", data=b'{"x": 1}', content_type="application/json", headers=headers)

    assert answer.status_code == 202
    assert function.given[0].type == "dev.fuseboard.failure.detected"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Busy("at work"), 409),
        (StoreUnavailable("gone"), 503),
        (ClusterUnavailable("gone"), 503),
        (Conflict("changed"), 503),
        (NotEnrolled("shop/cart"), 202),
        (RecordCorrupt("shop/login"), 202),
        (FuseboardError("unforeseen"), 500),
    ],
)
def test_errors_say_whether_to_try_again(error: FuseboardError, status: int) -> None:
    """Each of our errors has its answer in the contract; what never will work is not sent again."""
    answer = post(raising(error))

    assert answer.status_code == status
    assert (answer.headers.get("Retry-After") is not None) == (status in (409, 503))
    if status == 202:
        assert answer.data == b""


def test_a_bug_is_500_without_a_body_then_poison() -> None:
    """An unknown exception runs three times at most, and its trace stays here."""
    app = client(raising(ZeroDivisionError("secret")))
    message = encode(DETECTED)

    answers = [app.post("/", data=message.body, headers=message.headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [500, 500, 422]
    assert answers[0].data == b""
    assert all(b"secret" not in answer.data for answer in answers)


def test_poison_of_one_event_is_not_poison_of_another() -> None:
    """A neighbour of a poisonous event is tried like any other."""
    app = client(raising(ZeroDivisionError("x")))
    for _ in range(3):
        message = encode(DETECTED)
        app.post("/", data=message.body, headers=message.headers)
    other = encode(Event(id="2", source="/test", subject="shop/login", data=DETECTED.data))

    assert app.post("/", data=other.body, headers=other.headers).status_code == 500


BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "dev.fuseboard.failure.detected"}
FAILURES = b'{"failures": [{"key": "k", "cause": "c"}]}'


@pytest.mark.parametrize(
    ("status", "body", "content_type", "change"),
    [
        (400, b"{nonsense", "application/json", {}),
        (400, b'{"failures": [{"key": "k", "cause": NaN}]}', "application/json", {}),
        (400, b'{"failures": [], "failures": []}', "application/json", {}),
        (400, b'{"failures": [{"key": "\\ud800", "cause": "c"}]}', "application/json", {}),
        (400, b"[" * 100_000, "application/json", {}),
        (400, b"1" * 5_000, "application/json", {}),
        (400, b'{"failures": []}', "application/json", {}),
        (400, b"{}", "application/json", {}),
        (400, FAILURES, "application/json", {"ce-specversion": "0.3"}),
        (400, FAILURES, "application/json", {"ce-id": ""}),
        (400, FAILURES, "application/json", {"ce-time": "yesterday"}),
        (400, FAILURES, "application/cloudevents+json", {}),
        (415, FAILURES, "text/plain", {}),
        (415, FAILURES, "application/cloudevents-batch+json", dict.fromkeys(BINARY)),
        (415, FAILURES, "application/json", dict.fromkeys(BINARY)),
        (413, b" " * (MAX_EVENT_BYTES + 1), "application/json", {}),
    ],
)
def test_what_never_will_work_is_said_once(
    status: int, body: bytes, content_type: str, change: dict[str, str | None]
) -> None:
    """Bad input gets a 4xx that brokers do not try again, with a sentence, and does not reach the function: 22-25."""
    function = Scripted()
    headers = {name: value for name, value in {**BINARY, **change}.items() if value is not None}

    answer = client(function).post("/", data=body, content_type=content_type, headers=headers)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert json.loads(answer.data)["detail"]
    assert function.given == []


def test_a_body_without_a_length_is_still_bounded() -> None:
    """A chunked body over the limit is 413 although its length was never told."""
    stream = io.BytesIO(b" " * (MAX_EVENT_BYTES + 1))
    answer = client(Scripted()).post(
        "/",
        headers=BINARY,
        content_type="application/json",
        input_stream=stream,
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert answer.status_code == 413


def test_other_methods_are_told_which_to_use() -> None:
    """GET is 405 with Allow, and OPTIONS is answered as the webhook handshake wants it."""
    app = client(Scripted())

    refused, options = app.get("/"), app.options("/")

    assert (refused.status_code, refused.headers["Allow"]) == (405, "OPTIONS, POST")
    assert (options.status_code, options.headers["Allow"], options.data) == (200, "POST, OPTIONS", b"")
    assert options.headers["WebHook-Allowed-Rate"].isdigit()
    assert "WebHook-Allowed-Origin" not in options.headers


def test_probes_tell_alive_from_ready() -> None:
    """A function whose store is gone is alive, and not ready."""
    function = Scripted(ill=True)
    app = client(function)

    assert (app.get("/healthz").status_code, app.get("/readyz").status_code) == (200, 503)
    function.ill = False
    assert app.get("/readyz").status_code == 200


def test_metrics_count_what_became_of_requests() -> None:
    """Each outcome is counted under its handler."""
    app = client(Scripted())
    message = encode(DETECTED)
    app.post("/", data=message.body, headers=message.headers)

    text = app.get("/metrics").get_data(as_text=True)

    assert 'fuseboard_requests_total{handler="scripted",outcome="handled"}' in text


@dataclass
class Inbox:
    """A receiver that remembers what it was told."""

    path: ClassVar[str] = "/inbox"
    max_body_bytes: ClassVar[int] = 100
    told: list[Notification] = field(default_factory=list)

    def receive(self, notification: Notification) -> None:
        self.told.append(notification)

    def check(self) -> None:
        """It can always be told."""


def test_a_receiver_is_told_body_type_and_query() -> None:
    """A notification arrives as it was sent, and is answered 202 without a body."""
    inbox = Inbox()
    app = apps.receiver_app(inbox, "inbox").test_client()

    answer = app.post("/?cluster=a", data=b"{}", content_type="application/json")

    assert (answer.status_code, answer.data) == (202, b"")
    assert (inbox.told[0].body, inbox.told[0].query["cluster"]) == (b"{}", "a")


def test_a_receiver_alone_is_found_at_its_own_path_too() -> None:
    """What is configured for ``fuseboard up`` works for a receiver served by itself."""
    inbox = Inbox()

    answer = apps.receiver_app(inbox, "inbox").test_client().post("/inbox", data=b"{}")

    assert (answer.status_code, len(inbox.told)) == (202, 1)


def test_a_receiver_is_not_told_more_than_it_takes() -> None:
    """A body over the receiver's own limit is 413 and names what to do."""
    inbox = Inbox()

    answer = apps.receiver_app(inbox, "inbox").test_client().post("/", data=b" " * 101)

    assert answer.status_code == 413
    assert b"max_alerts" in answer.data
    assert inbox.told == []


def test_apps_are_mounted_below_their_paths() -> None:
    """A receiver is reached at its own path, without a redirect."""
    inbox = Inbox()
    root = apps.root_app(_no_board(), lambda: None)
    mounted = apps.mount(root, {"/inbox": apps.receiver_app(inbox, "inbox")})

    answer = Client(mounted).post("/inbox", data=b"{}", content_type="application/json")

    assert answer.status_code == 202
    assert Client(mounted).get("/nothing").status_code == 404


def _no_board() -> Blueprint:
    return Blueprint("none", __name__)


def test_call_is_as_over_the_wire() -> None:
    """An app called in this process answers as one called over HTTP."""
    function = Scripted(lambda event: event.reply(OPENED, step="1", time=5))

    answer = in_process.call(apps.function_app(function, "scripted"), encode(DETECTED))

    assert answer.status == 200
    assert decode(answer.headers, answer.body, DATA_TYPES).data == OPENED


class Ending:
    """A watcher that ends at once, as only a bug makes one end."""

    def run(self, _: Flag) -> None:
        """End."""

    def check(self) -> None:
        """See nothing wrong."""


def test_a_watcher_that_ended_is_neither_alive_nor_ready() -> None:
    """The kubelet starts it again: without its thread it would look well for ever."""
    app = apps.watcher_app(Ending(), "ending").test_client()

    for path in ("/healthz", "/readyz"):
        answers = [app.get(path).status_code for _ in range(100)]
        assert answers[-1] == 503
