"""The loops of watchers: a period, a supervised thread, a silence."""

from __future__ import annotations

import io
import json
from concurrent.futures import Future
from threading import Event as Flag
from typing import TYPE_CHECKING

import pytest
import structlog

from fuseboard import logs
from fuseboard.delivery.loops import SILENT_S, Silence, Supervised, every, log_bug, refuse_silence
from fuseboard.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Configure logging to a text, for one test."""
    lines = io.StringIO()
    logs.configure(lines)
    yield lines
    structlog.reset_defaults()


def test_a_loop_looks_at_once_and_ends_when_told_to() -> None:
    """The first look needs no pause, and ``stop`` ends the loop within a pause."""
    stop, looks = Flag(), 0
    for _ in every(60, stop):
        looks += 1
        stop.set()
    assert looks == 1
    assert list(every(60, stop)) == []


def test_a_thread_that_ends_by_a_bug_says_so(log: io.StringIO) -> None:
    """Its exception is in the log, and it is not healthy any more."""

    def broken(_: Flag) -> None:
        raise ZeroDivisionError

    thread = Supervised("clock", broken, Flag()).start()
    thread.join(10)
    line = json.loads(log.getvalue())
    assert (line["event"], line["thread"]) == ("thread.bug", "clock")
    assert "ZeroDivisionError" in json.dumps(line["exception"])
    assert thread.has_ended
    with pytest.raises(Unavailable, match="clock has ended"):
        thread.check()


def test_a_thread_that_ends_without_being_told_to_says_so(log: io.StringIO) -> None:
    """A watcher that only returns has a bug too."""
    Supervised("clock", lambda _: None, Flag()).start().join(10)
    assert json.loads(log.getvalue())["event"] == "thread.ended"


def test_a_thread_that_is_told_to_end_says_nothing(log: io.StringIO) -> None:
    """It is healthy until then."""
    stop = Flag()

    def waiting(flag: Flag) -> None:
        flag.wait()

    thread = Supervised("clock", waiting, stop).start()
    thread.check()
    stop.set()
    thread.join(10)
    assert thread.has_ended
    assert log.getvalue() == ""


def test_the_bug_of_a_task_is_logged(log: io.StringIO) -> None:
    """A task of a pool that no thread waits for does not fail in silence."""
    tasks: list[Future[None]] = [Future(), Future(), Future()]
    for task in tasks:
        task.add_done_callback(log_bug("clock.bug"))
    tasks[0].set_result(None)
    tasks[1].cancel()
    assert log.getvalue() == ""
    tasks[2].set_exception(ZeroDivisionError())
    assert json.loads(log.getvalue())["event"] == "clock.bug"


def test_a_silence_is_borne_for_a_while() -> None:
    """Only one that is too long says that a source is not ready: with what is missing, and the hint."""
    refuse_silence(SILENT_S, "answer", "is it there?")
    with pytest.raises(Unavailable, match=r"^no answer for 151 s: is it there\?$"):
        refuse_silence(SILENT_S + 1, "answer", "is it there?")
    silence = Silence("prometheus", "answer of Prometheus")
    silence.check("")
    silence.end()
    assert silence.seconds < SILENT_S
