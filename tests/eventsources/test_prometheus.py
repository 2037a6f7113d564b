"""Loads become signals: from a real Prometheus, and from servers that are worse than it ever is."""

from __future__ import annotations

import os
import signal
import time
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs

import pytest

from eventsources.prometheus import Prometheus
from fuseboard.delivery.connections import PROMETHEUS_LANES as LANES
from fuseboard.errors import Unavailable
from fuseboard.events.types import LoadChanged
from fuseboard.http_client import HttpClient
from fuseboard.testing import policies
from fuseboard.testing.http_server import answering
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.testing.ports import free_port
from tests.real import prometheus as real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fuseboard.policy.spec import Policy
    from fuseboard.testing.http_server import ReceivedRequest


DEADLINE_S: Final = 1.0
NO_NUMBERS: Final = {
    "nothing": ('sum(load{service="nobody"})', "no element"),
    "several": ('label_replace(load, "a", "b", "", "") or load', "several elements"),
    "infinite": ("load / 0", "not finite"),
    "nan": ("load * 0 / 0", "not finite"),
    "negative": ("-load", "negative"),
    "text": ('"150"', "no number"),
    "range": ("load[1m]", "no number"),
    "broken": ("sum(((", "refused: invalid parameter"),
    "ambiguous": ('load + on () (load or label_replace(load, "a", "b", "", ""))', "refused"),
}


def policy(name: str, query: str, every: str = "1s") -> Policy:
    """Return a policy with a query."""
    load = {"query": query, "every": every}
    return policies.policy(name, "default", target={"name": name, "capacity": 100}, signals={"load": load})


class Told(MemoryOutbox):
    """What breakers were told of their loads, and what was wrong with queries."""

    def loads(self, name: str = "login") -> list[float]:
        """Return what a breaker was told."""
        found = [each.data for each in self.events if each.subject == f"default/{name}"]
        return [each.load for each in found if isinstance(each, LoadChanged)]

    def complaints(self) -> dict[str, list[str]]:
        """Return what is wrong with queries, by breaker."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            for key, text in entry.detail.get("complaints", {}).items():
                found.setdefault(key, []).append(text)
        return found


class Running:
    """The source in a thread."""

    def __init__(self, url: str, *policies: Policy, clock: Callable[[], float] = time.time) -> None:
        self.store = MemoryStore(lambda: round(time.time() * 1000))
        self.store.apply(policies)
        self.outbox = Told()
        self._asker = HttpClient(url, lanes=LANES, deadline_s=DEADLINE_S) if url else None
        self.source = Prometheus(self.store, self.outbox, self._asker, clock)
        self._stop = Flag()
        self._thread = Thread(target=self.source.run, args=(self._stop,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._asker is not None:
            self._asker.close()


def asked_again(running: Running, *names: str) -> None:
    """Wait until each query has been asked twice more: at the second time what the first one led to is done."""
    for name in names:
        for _ in range(2):
            due = running.source._queries[f"default/{name}"].due
            wait_for(lambda name=name, due=due: running.source._queries[f"default/{name}"].due > due)  # type: ignore[misc]


def wait_for(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.fixture(scope="module")
def prometheus() -> Iterator[real.Prometheus]:
    """A real Prometheus that scrapes a real process with a load of 50."""
    real.require_binary()
    with real.Exporter() as login, real.Prometheus(login.address) as running:
        login.carry(50)
        running.shows("load", 50)
        yield running


class TestRealPrometheus:
    """What a real one answers."""

    def test_a_load_is_told(self, prometheus: real.Prometheus) -> None:
        """With the source's name, and an id that two replicas share."""
        mine = policy("login", "sum(load)")
        with Running(prometheus.url, mine) as one, Running(prometheus.url, mine) as other:
            wait_for(lambda: one.outbox.events and other.outbox.events)
            assert one.outbox.loads()[0] == other.outbox.loads()[0] == 50
            assert one.outbox.events[0].source == "/prometheus"
            # At once, unless one began a moment before a slot and the other after it: then by the next that both tell.
            wait_for(lambda: {each.id for each in one.outbox.events} & {each.id for each in other.outbox.events})
            one.source.check()

    def test_what_is_no_number_is_said_once_and_not_told(self, prometheus: real.Prometheus) -> None:
        """Others are told their load meanwhile."""
        policies = [policy(name, query) for name, (query, _) in NO_NUMBERS.items()]
        with Running(prometheus.url, *policies, policy("login", "load")) as running:
            wait_for(lambda: len(running.outbox.complaints()) == len(NO_NUMBERS) and running.outbox.loads())
            wait_for(lambda: all(running.source._queries[f"default/{name}"].failures > 1 for name in NO_NUMBERS))
            found = running.outbox.complaints()
            assert found.keys() == {f"default/{name}" for name in NO_NUMBERS}
            for name, (_, problem) in NO_NUMBERS.items():
                (complaint,) = found[f"default/{name}"]
                assert complaint.startswith(problem)
            assert {each.subject for each in running.outbox.events} == {"default/login"}
            running.source.check()

    def test_a_paused_prometheus_is_waited_for(self, prometheus: real.Prometheus) -> None:
        """It takes the question and says nothing: told nothing, and its next answer counts."""
        with Running(prometheus.url, policy("login", "load")) as running:
            wait_for(running.outbox.loads)
            os.kill(prometheus.pid, signal.SIGSTOP)
            try:
                before = len(running.outbox.events)
                wait_for(lambda: "does not answer" in running.source._away)
                assert len(running.outbox.events) <= before + 1
            finally:
                os.kill(prometheus.pid, signal.SIGCONT)
            wait_for(lambda: running.source._away == "")

    def test_a_query_that_changes_is_asked_anew_and_one_that_goes_is_not(self, prometheus: real.Prometheus) -> None:
        """The table decides, also while it runs."""
        with Running(prometheus.url, policy("login", "load"), policy("cart", "load")) as running:
            wait_for(lambda: running.outbox.loads() and running.outbox.loads("cart"))
            running.store.apply([policy("login", "load * 3")])
            wait_for(lambda: 150 in running.outbox.loads())
            told = len(running.outbox.loads("cart"))
            asked_again(running, "login")
            assert len(running.outbox.loads("cart")) == told

    def test_what_could_not_be_told_is_told_by_the_next_answer(self, prometheus: real.Prometheus) -> None:
        """The outbox was away: nothing is kept, nothing is lost."""
        with Running(prometheus.url, policy("login", "load")) as running:
            running.outbox.gone = True
            wait_for(lambda: running.outbox.refused)
            running.outbox.gone = False
            asked_again(running, "login")
            assert running.outbox.loads()


class Server:
    """Answers 5 to any query, but for some that it is worse to."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, request: ReceivedRequest) -> None:
        path, _, fields = request.path.partition("?")
        query = parse_qs(fields).get("query", [path])[0]
        self.asked.append(query)
        if query.startswith("slow"):
            time.sleep(3)
            return
        status = {"denied": 401, "moved": 302, "busy": 503}.get(query, 200)
        moment = parse_qs(fields).get("time", ["0"])[0]
        body = f'{{"status":"success","data":{{"resultType":"scalar","result":[{moment},"5"]}}}}'
        padding = b" " * 2_000_000 if query == "endless" else b""
        request.answer(padding + body.encode(), status, Location=f"http://{request.headers['Host']}/elsewhere")


def test_slow_queries_do_not_hold_up_the_others() -> None:
    """Seven that never end leave a lane, and are asked more seldom from then on."""
    slow = [policy(f"slow{n}", f"slow{n}") for n in range(LANES - 1)]
    server = Server()
    with answering(server) as url, Running(url, *slow, policy("login", "load")) as running:
        wait_for(lambda: server.asked.count("load") >= 5)
        assert running.outbox.loads()
        assert server.asked.count("slow0") < server.asked.count("load")  # without back-off, both every second
        assert not any(running.outbox.loads(f"slow{n}") for n in range(LANES - 1))


@pytest.mark.parametrize("query", ["denied", "moved", "busy", "endless"])
def test_no_answer_to_the_question_is_no_load(query: str) -> None:
    """It is the address or the token that is wrong, or the server is busy: nothing is said against the query."""
    server = Server()
    with answering(server) as url, Running(url, policy("login", query)) as running:
        wait_for(lambda: running.source._away)
        assert running.outbox.entries == []
        assert "/elsewhere" not in server.asked


def test_who_is_not_there_makes_this_not_ready_after_a_while() -> None:
    """But only if there is something to ask."""
    url = f"http://127.0.0.1:{free_port()}"
    with Running(url, policy("login", "load")) as running, Running(url) as idle:
        wait_for(lambda: running.source._away)
        running.source.check()
        for each in (running, idle):
            each.source._silence._heard_at -= 151
        with pytest.raises(Unavailable, match="no answer of Prometheus for 15"):
            running.source.check()
        idle.source.check()


def test_a_failed_query_is_asked_ever_more_seldom() -> None:
    """Up to once a minute, and one that is asked more seldom anyhow stays so."""
    with Running("", policy("login", "load"), policy("cart", "load", every="5m")) as running:
        wait_for(lambda: running.source._queries)
        login, cart = (running.source._queries[f"default/{name}"] for name in ("login", "cart"))
        waits = []
        for failed in (0, 1, 2, 5, 6, 100):
            login.failures = cart.failures = failed
            waits.append(login.wait_ms)
            assert cart.wait_ms == 300_000
        assert waits == [1_000, 2_000, 4_000, 32_000, 60_000, 60_000]


def test_without_an_address_nothing_is_asked_and_it_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """And it is ready: nobody has to have a Prometheus."""
    with Running("", policy("login", "load")) as running:
        for _ in range(3):
            wait_for(lambda: running.source._looked_at > 0)
            running.source._looked_at = float("-inf")
        running.source.check()
    assert capsys.readouterr().out.count("prometheus.no_address") == 1
    assert running.outbox.entries == []
