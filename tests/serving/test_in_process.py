"""Apps of this process are called as a broker calls functions: nobody waits for one that is late."""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import current_thread
from typing import TYPE_CHECKING

from fuseboard.events.event import Event
from fuseboard.events.types import StepDue
from fuseboard.events.wire import encode
from fuseboard.serving.in_process import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

MESSAGE = encode(Event(id="1", source="/t", subject="shop/login", data=StepDue(due_at=1), time=5))


class Slow:
    """An app that answers once it may."""

    def __init__(self) -> None:
        self.may = Flag()
        self.threads: list[int] = []

    def __call__(self, _: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.threads.append(current_thread().ident or 0)
        self.may.wait(30)
        start_response("202 ACCEPTED", [])
        return [b""]


def test_one_that_is_late_counts_as_failed_and_is_not_waited_for() -> None:
    """Its answer is Knative's for a call without one: 500, which is tried again."""
    app = Slow()
    calls = InProcess({"slow": app})
    began = time.monotonic()

    answer = calls.post("slow", MESSAGE, 0.05)

    assert time.monotonic() - began < 10
    assert (answer.status, answer.body) == (500, b"dispatch error: no answer within 0.05 s")
    app.may.set()
    assert calls.post("slow", MESSAGE, 30).status == 202
    calls.close()


def test_threads_are_used_again() -> None:
    """Calls one after the other share a thread, and with it its connection to the store."""
    app = Slow()
    app.may.set()
    calls = InProcess({"slow": app})

    assert [calls.post("slow", MESSAGE, 30).status for _ in range(5)] == [202] * 5

    assert len(set(app.threads)) == 1
    calls.close()


def test_late_calls_do_not_pile_up() -> None:
    """With all threads late, a call fails at once; when they are back, calls go through."""
    app = Slow()
    calls = InProcess({"slow": app}, max_threads=2)
    assert [calls.post("slow", MESSAGE, 0.01).status for _ in range(2)] == [500, 500]

    assert calls.post("slow", MESSAGE, 30).body == b"dispatch error: 2 calls are under way"

    app.may.set()
    give_up = time.monotonic() + 10
    while (answer := calls.post("slow", MESSAGE, 30)).status != 202:
        assert time.monotonic() < give_up, answer
        time.sleep(0.01)
    calls.close()


def test_a_bug_of_an_app_is_raised_where_it_is_called() -> None:
    """What no app of Fuseboard lets out is not lost in a thread."""

    def broken(_: WSGIEnvironment, __: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    calls = InProcess({"broken": broken})
    try:
        calls.post("broken", MESSAGE, 30)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError
    finally:
        calls.close()
