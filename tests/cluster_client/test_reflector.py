"""A watch against a server that does everything a server can do; the sockets and the client are real."""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import pairwise
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.cluster.changes import Alive, Changed, Denied, Heard, Listed
from fuseboard.cluster.pace import WatchPace
from fuseboard.cluster.reflector import Watch, WatchStart
from fuseboard.testing.api_script import (
    EVENTS,
    WITHIN_S,
    Answer,
    ApiScript,
    Asked,
    change,
    error,
    listed,
    refusal,
    streamed,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAST = WatchPace(first_wait=0.05, last_wait=0.2, denied_wait=0.2, silence=0.5, stream=(1.5, 2.0), quiet=0.2)
OPEN = Answer(stays=True)
PATIENT = WatchPace(first_wait=0.05, last_wait=0.2, denied_wait=0.2, silence=20.0, stream=(1.5, 2.0), quiet=0.2)


class Ears:
    """Keeps what a watch hears."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def __call__(self, heard: Heard) -> None:
        self.heard.append(heard)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return what was heard of one kind."""
        return [each for each in self.heard if isinstance(each, kind)]


@contextmanager
def watching(
    server: ApiScript, directory: Path, *, version: str = "", pace: WatchPace = PATIENT
) -> Iterator[tuple[Watch, Ears]]:
    """Run a watch until the block ends."""
    ears, stop = Ears(), Flag()
    watch = Watch(server.client(directory), EVENTS, ears, start=WatchStart(version), pace=pace)
    thread = Thread(target=watch.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield watch, ears
    finally:
        stop.set()
        watch.end()
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def ever_longer(asked: list[Asked], first_s: float) -> bool:
    """Say whether from one request to the next it was twice as long each time, but for a tenth."""
    waits = [later.at - earlier.at for earlier, later in pairwise(asked)]
    return all(wait > 0.9 * first_s * 2**number for number, wait in enumerate(waits))


def thing(version: str, uid: str = "u") -> dict[str, Any]:
    """Return an object of some version."""
    return {"metadata": {"uid": uid, "resourceVersion": version}}


def test_it_lists_then_watches_from_the_lists_own_version(tmp_path: Path) -> None:
    """Objects are in no order: the list's version counts, and never the last one's: K12."""
    with ApiScript(list=[listed(thing("90"), thing("70"), version="100")]) as server:
        with watching(server, tmp_path) as (_, ears):
            until(lambda: server.of("watch"))

        assert server.verbs() == ["list", "watch"]
        assert server.of("watch")[0].query["resourceVersion"] == "100"
        assert [len(each.objects) for each in ears.of(Listed)] == [2]


def test_it_asks_for_bookmarks_and_for_an_end_before_a_silence_could_be_death(tmp_path: Path) -> None:
    """A living stream always ends, or says something, sooner than a dead one is given up: K14, K17."""
    with ApiScript() as server, watching(server, tmp_path):
        until(lambda: server.of("watch"))
        query = server.of("watch")[0].query

    assert query["allowWatchBookmarks"] == "true"
    assert WatchPace().stream[1] < WatchPace().silence == 75.0


def test_pages_are_one_list(tmp_path: Path) -> None:
    """What came between two pages is seen twice and not never: the first page's version counts."""
    pages = [listed(thing("1", "a"), version="100", more="next"), listed(thing("2", "b"), version="105")]
    with ApiScript(list=pages) as server, watching(server, tmp_path) as (_, ears):
        until(lambda: server.of("watch"))

    assert [len(each.objects) for each in ears.of(Listed)] == [2]
    assert server.of("list")[1].query["continue"] == "next"
    assert server.of("watch")[0].query["resourceVersion"] == "100"


def test_a_page_whose_history_is_gone_begins_the_list_anew_without_pages(tmp_path: Path) -> None:
    """410 for a continue token is no reason to give up, nor for half a list: K11."""
    script = [listed(thing("1"), more="next"), refusal(410), listed(thing("1"), thing("2", "b"))]
    with ApiScript(list=script) as server, watching(server, tmp_path) as (_, ears):
        until(lambda: server.of("watch"))

    assert [len(each.objects) for each in ears.of(Listed)] == [2]
    assert "limit" not in server.of("list")[2].query


def test_changes_are_heard_in_order_and_the_next_stream_goes_on_after_them(tmp_path: Path) -> None:
    """ADDED, MODIFIED and DELETED pass, and a stream that ends goes on from the last version: K4, K9."""
    lines = [change(kind, thing(version)) for kind, version in (("ADDED", "7"), ("MODIFIED", "3"), ("DELETED", "9"))]
    with ApiScript(watch=[streamed(*lines), OPEN]) as server, watching(server, tmp_path) as (_, ears):
        until(lambda: len(server.of("watch")) == 2)

    assert [(each.kind, each.version) for each in ears.of(Changed)] == [
        ("ADDED", "7"),
        ("MODIFIED", "3"),
        ("DELETED", "9"),
    ]
    assert server.of("watch")[1].query["resourceVersion"] == "9"
    assert len(server.of("list")) == 1


def test_a_version_is_compared_with_nothing(tmp_path: Path) -> None:
    """A version is opaque: one that is no number, or goes down, is handed back as it came: K13."""
    lines = [change("ADDED", thing("zebra")), change("BOOKMARK", thing("aardvark"))]
    with ApiScript(watch=[streamed(*lines), OPEN]) as server, watching(server, tmp_path):
        until(lambda: len(server.of("watch")) == 2)

    assert server.of("watch")[1].query["resourceVersion"] == "aardvark"


def test_a_bookmark_moves_the_version_and_is_no_change(tmp_path: Path) -> None:
    """A bookmark says that there is nothing up to a version: K14."""
    with ApiScript(watch=[streamed(change("BOOKMARK", thing("500")), stays=True)]) as server:  # noqa: SIM117
        with watching(server, tmp_path) as (_, ears):
            until(lambda: ears.of(Alive))

    assert [each.version for each in ears.of(Alive)] == ["500"]
    assert ears.of(Changed) == []


@pytest.mark.parametrize("gone", [refusal(410), streamed(error(410))], ids=["status", "in the stream"])
def test_gone_in_either_form_is_listed_anew_and_says_what_was_lost(tmp_path: Path, gone: Answer) -> None:
    """410 comes as an HTTP status and as an ERROR in the stream; after a restart, loss cannot be excluded: K11."""
    with ApiScript(watch=[gone, OPEN]) as server, watching(server, tmp_path, version="5") as (_, ears):
        until(lambda: len(server.of("watch")) == 2)

    assert server.verbs() == ["probe", "watch", "list", "watch"]
    assert [bool(each.lost) for each in ears.of(Listed)] == [True]


def test_gone_after_a_quiet_stream_loses_nothing(tmp_path: Path) -> None:
    """A quiet namespace's version is compacted sooner or later: the stream ended in time, so all was known."""
    quiet = WatchPace(first_wait=0.05, last_wait=0.2, silence=60.0, stream=(1.5, 1.5), quiet=20.0)
    with ApiScript(watch=[Answer(lasts_s=0.6), OPEN], probe=[refusal(410)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, pace=quiet) as (_, ears):
            until(lambda: len(ears.of(Listed)) == 2)

    assert [bool(each.lost) for each in ears.of(Listed)] == [False, False]
    assert len(ears.of(Alive)) == 1


@pytest.mark.parametrize("ending", [streamed(breaks=True, lasts_s=1.0), Answer(lasts_s=1.0), FAST.silence])
def test_gone_after_any_other_end_may_have_lost_something(tmp_path: Path, ending: Answer | float) -> None:
    """A stream that broke, fell silent or ended too early did not say that there was nothing more."""
    pace = WatchPace(first_wait=0.05, last_wait=0.2, silence=1.2, stream=(30.0, 30.0), quiet=0.2)
    stream = ending if isinstance(ending, Answer) else OPEN
    with ApiScript(watch=[stream, OPEN], probe=[refusal(410)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, pace=pace) as (_, ears):
            until(lambda: len(ears.of(Listed)) == 2)

    assert [bool(each.lost) for each in ears.of(Listed)] == [False, True]


def test_always_gone_is_no_storm_of_lists(tmp_path: Path) -> None:
    """A server that answers 410 to everything is asked ever more rarely: fault 9."""
    pace = WatchPace(first_wait=0.05, last_wait=10.0, silence=60.0)
    with ApiScript(watch=[streamed(error(410))]) as server, watching(server, tmp_path, pace=pace):
        until(lambda: len(server.of("list")) == 5)

    assert ever_longer(server.of("list")[1:], 0.1)


def test_a_version_that_the_server_has_not_come_to_is_given_up(tmp_path: Path) -> None:
    """A store that was restored waits for such a version without a word: it is asked first: K16."""
    message = "Timeout: Too large resource version: 1000418, current: 419"
    with ApiScript(probe=[refusal(504, message), listed()]) as server:  # noqa: SIM117
        with watching(server, tmp_path, version="1000418") as (_, ears):
            until(lambda: server.of("watch"))

    assert server.verbs() == ["probe", "list", "watch"]
    assert "Too large" in ears.of(Listed)[0].lost


def test_no_answer_is_waited_for_ever_longer_without_a_list(tmp_path: Path) -> None:
    """5xx keeps the version: no list storm after an outage: fault 9."""
    with ApiScript(watch=[refusal(500), refusal(503), refusal(500), OPEN]) as server:  # noqa: SIM117
        with watching(server, tmp_path, version="5") as (_, ears):
            until(lambda: len(server.of("watch")) == 4)

    assert server.of("list") == []
    assert ears.heard == []
    assert {each.query["resourceVersion"] for each in server.of("watch")} == {"5"}


def test_a_wait_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    """429 with Retry-After is not asked again before: K17, fault 9."""
    with ApiScript(watch=[refusal(429, Retry_After="1"), OPEN]) as server, watching(server, tmp_path):
        until(lambda: len(server.of("watch")) == 2)

    first, second = server.of("watch")
    assert second.at - first.at >= 1.0


def test_a_dead_stream_is_left_after_its_silence_and_gone_on_with(tmp_path: Path) -> None:
    """Half-open TCP: no byte comes. The last version is gone on from, without a list: K17, fault 7."""
    half_open = streamed(change("ADDED", thing("7")), stays=True)
    with ApiScript(watch=[half_open, OPEN]) as server, watching(server, tmp_path, pace=FAST):
        until(lambda: len(server.of("watch")) == 2)

    first, second = server.of("watch")
    assert second.at - first.at >= 0.5
    assert second.query["resourceVersion"] == "7"
    assert len(server.of("list")) == 1


@pytest.mark.parametrize(
    "broken",
    [
        streamed(b"<html>"),
        streamed(b"[1, 2]"),
        streamed(b"null"),
        streamed(b'{"type": "ADDED"}'),
        streamed(b'{"type": "ADDED", "object": {"metadata": null}}'),
        streamed(b"[" * 100_000),
        streamed(b'\xff\xfe{"type"'),
        streamed(error(500, "etcd is away")),
        streamed(breaks=True),
        streamed(b"{", breaks=True),
    ],
)
def test_garbage_is_no_end(tmp_path: Path, broken: Answer) -> None:
    """What is no change of an object moves nothing and stops nothing."""
    with ApiScript(watch=[broken, streamed(change("ADDED", thing("7")), stays=True)]) as server:  # noqa: SIM117
        with watching(server, tmp_path, version="5") as (_, ears):
            until(lambda: ears.of(Changed))

    assert {each.query["resourceVersion"] for each in server.of("watch")} == {"5"}
    assert len(ears.heard) == 1


def test_an_error_that_does_not_pass_is_got_round_by_a_list(tmp_path: Path) -> None:
    """Where etcd compacted the state before a change, the API server says 500 to that version for ever."""
    nil = streamed(error(500, "Internal error occurred: etcd event received with PrevKv=nil"))
    with ApiScript(watch=[nil, nil, OPEN]) as server, watching(server, tmp_path, version="5") as (_, ears):
        until(lambda: len(server.of("watch")) == 3)

    assert [each.query["resourceVersion"] for each in server.of("watch")] == ["5", "5", "100"]
    assert "PrevKv=nil" in ears.of(Listed)[0].lost


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"metadata": {}}', b'{"metadata": {"resourceVersion": "1"}, "items": {"a": 1}}']
)
def test_a_list_that_is_none_is_asked_for_again(tmp_path: Path, body: bytes) -> None:
    """A proxy's page, or half an answer, is not an empty list."""
    with ApiScript(list=[Answer(body=body), listed(thing("1"))]) as server:  # noqa: SIM117
        with watching(server, tmp_path) as (_, ears):
            until(lambda: ears.of(Listed))

    assert [len(each.objects) for each in ears.of(Listed)] == [1]


def test_streams_that_end_at_once_are_no_busy_loop(tmp_path: Path) -> None:
    """A proxy that cuts every stream is asked ever more rarely."""
    pace = WatchPace(first_wait=0.05, last_wait=10.0, silence=60.0)
    with ApiScript(watch=[streamed(b"")]) as server, watching(server, tmp_path, pace=pace):
        until(lambda: len(server.of("watch")) == 5)

    assert ever_longer(server.of("watch"), 0.05)


@pytest.mark.parametrize("denied", ["list", "watch"])
def test_what_is_not_allowed_is_said_once_and_tried_on(tmp_path: Path, denied: str) -> None:
    """403 keeps trying, at its own pace; one entry, not one per try: fault 10."""
    script = {denied: [refusal(403, "events is forbidden")]}
    with ApiScript(**script) as server, watching(server, tmp_path) as (_, ears):
        until(lambda: len(server.of(denied)) >= 4)

    assert len(ears.of(Denied)) == 1
    assert "forbidden" in ears.of(Denied)[0].reason
    times = [each.at for each in server.of(denied)]
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(times))
    assert WatchPace().denied_wait == 30


def test_allowed_again_it_goes_on_and_denied_again_it_says_so_again(tmp_path: Path) -> None:
    """The version is kept while the permission is gone: nothing is listed anew: fault 10."""
    lines = [streamed(change("ADDED", thing("7"))), refusal(403), refusal(403), streamed(change("ADDED", thing("8")))]
    with ApiScript(watch=[*lines, refusal(403)]) as server, watching(server, tmp_path) as (_, ears):
        until(lambda: len(ears.of(Denied)) == 2)

    assert [each.version for each in ears.of(Changed)] == ["7", "8"]
    assert len(server.of("list")) == 1


def test_it_ends_at_once_when_told_to(tmp_path: Path) -> None:
    """A stream that says nothing does not hold up the end."""
    with ApiScript() as server:
        with watching(server, tmp_path):
            until(lambda: server.of("watch"))
            time.sleep(0.1)
            before = time.monotonic()
        assert time.monotonic() - before < PATIENT.silence / 2


def test_only_a_sign_of_life_makes_it_fresh(tmp_path: Path) -> None:
    """Errors are none: P10."""
    with ApiScript(list=[refusal(500)]) as server, watching(server, tmp_path) as (watch, _):
        began = watch.heard_at
        until(lambda: len(server.of("list")) >= 3)
        assert watch.heard_at == began

    with ApiScript() as server, watching(server, tmp_path) as (watch, _):
        began = watch.heard_at
        until(lambda: watch.heard_at > began)
