"""The journal function writes every event down."""

from __future__ import annotations

import io
import json

import pytest

from functions.journal import Journal
from fuseboard import logs
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.events.wire import encode
from fuseboard.serving import create_app
from fuseboard.settings import Settings

SIGNAL = FailureDetected(failures=(Failure(key="k", cause="OOMKilling\nPod/login-0"),))


@pytest.mark.parametrize("data", [SIGNAL, Foreign("com.example.thing", {"a": [1]}), Foreign("x.y", "text")])
def test_an_event_is_one_line(data: FailureDetected | Foreign) -> None:
    """Whatever an event says is one line of JSON with its type, id and subject."""
    stream = io.StringIO()
    logs.configure(stream)

    Journal().handle(Event(id="1", source="/t", subject="shop/login", data=data, time=5))

    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert (found["id"], found["subject"], found["time"]) == ("1", "shop/login", 5)


def test_over_http_it_never_replies() -> None:
    """It is the end of the way: 202 and nothing else, for events of any type."""
    app = create_app("functions.journal", Settings()).test_client()
    message = encode(Event(id="1", source="/t", subject="a/b", data=SIGNAL))

    answer = app.post("/", data=message.body, headers=message.headers)

    assert (answer.status_code, answer.data) == (202, b"")
