"""The dead-letter function keeps what could not be delivered."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from functions.deadletter import FILE, DeadLetter, new
from fuseboard.delivery.connections import Connections
from fuseboard.errors import CannotStart, StoreUnavailable
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.events.wire import STRUCTURED, decode
from fuseboard.serving import create_app
from fuseboard.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

MARKS = {"knativeerrordest": "http://breaker", "knativeerrorcode": "503"}


def letter(name: str = "1") -> Event:
    """Return an event as Knative hands it to a dead-letter sink."""
    data = FailureDetected(failures=(Failure(key="k", cause="c"),))
    return Event(id=name, source="/t", subject="shop/login", data=data, time=5, extensions=MARKS)


def test_a_letter_can_be_sent_again_from_the_file(tmp_path: Path) -> None:
    """What is kept is the whole CloudEvent, with Knative's reason."""
    DeadLetter(tmp_path / FILE).handle(letter())

    (line,) = (tmp_path / FILE).read_bytes().splitlines()
    kept = decode({"content-type": STRUCTURED}, line)
    assert (kept.id, kept.time, kept.extensions) == ("1", 5, MARKS)


def test_letters_of_many_threads_are_whole(tmp_path: Path) -> None:
    """Letters that arrive at once do not mix."""
    function = DeadLetter(tmp_path / FILE)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(function.handle, [letter(str(number)) for number in range(100)]))

    lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    assert sorted(int(json.loads(line)["id"]) for line in lines) == list(range(100))


def test_a_torn_line_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """After a crash in the middle of a line, the next letter begins on a line of its own."""
    (tmp_path / FILE).write_bytes(b'{"specversion": "1.')

    DeadLetter(tmp_path / FILE).handle(letter())

    torn, whole = (tmp_path / FILE).read_bytes().splitlines()
    assert torn == b'{"specversion": "1.'
    assert json.loads(whole)["id"] == "1"


def test_what_cannot_be_written_is_sent_again(tmp_path: Path) -> None:
    """Without its volume it answers 503, never 202, and is not ready."""
    app = create_app("functions.deadletter", Settings(state_dir=tmp_path / "gone")).test_client()

    answer = app.post("/", data=b"not even JSON", content_type="text/plain", headers=_headers())

    assert answer.status_code == 503
    assert app.get("/readyz").status_code == 503
    with pytest.raises(StoreUnavailable, match="volume"):
        DeadLetter(tmp_path / "gone" / FILE).check()


def test_a_body_that_is_no_json_is_kept_too(tmp_path: Path) -> None:
    """An event whose data are bytes of any kind is kept, because they are what was wrong with it."""
    app = create_app("functions.deadletter", Settings(state_dir=tmp_path)).test_client()

    assert app.post("/", data=b"\xff\x00", content_type="text/plain", headers=_headers()).status_code == 202

    kept = decode({"content-type": STRUCTURED}, (tmp_path / FILE).read_bytes())
    assert kept.data.content == b"\xff\x00"  # type: ignore[union-attr]


def test_it_works_without_redis(tmp_path: Path) -> None:
    """It needs no store: a store that is down is the commonest reason to be here."""
    assert new(Connections(Settings(state_dir=tmp_path))).path.parent == tmp_path
    with pytest.raises(CannotStart, match="FUSEBOARD_STATE_DIR"):
        new(Connections(Settings()))


def _headers() -> dict[str, str]:
    return {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t", "ce-type": "dev.fuseboard.failure.detected"}
