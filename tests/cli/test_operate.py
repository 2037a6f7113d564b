"""trip, reset, hold, release and explain, typed at a real ``fuseboard up`` and at a store."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from functions.breaker import Breaker
from fuseboard.cli import cli
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.policy.files import load_table
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.redis import open_store
from fuseboard.testing.api_script import until
from tests.cli import program
from tests.cli.running import POLICY, Up, alert, notification, policy
from tests.paths import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

OBSERVED: dict[str, Any] = {
    **policy(),
    "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {**POLICY["spec"], "mode": "Observe", "target": {"name": "cart"}, "route": {"name": "cart"}, "recover": {}},
}


def run(*arguments: str, **environment: str) -> CompletedProcess[str]:
    """Run the program to its end."""
    return program.run(*arguments, environment=environment)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run a program with a breaker in Enforce and a breaker in Observe."""
    with Up(tmp_path_factory.mktemp("up"), policy(recover={"coolDown": "100s"}), OBSERVED) as running:
        yield running


def _is_on_record(up: Up, key: str, event: str) -> bool:
    return any(each["event"] == event for each in up.journal(key))


@pytest.fixture
def closed(up: Up) -> Up:
    """Return the program with both breakers released and closed."""
    for key in ("shop/login", "shop/cart"):
        for action in ("release", "reset"):
            name = secrets.token_hex(8)
            data = {"action": action, "operator": "test", "reason": "begin afresh"}
            event = {"specversion": "1.0", "type": "dev.fuseboard.operator.requested", "source": "/test", "id": name}
            sent = up.post("/events", {**event, "subject": key, "data": data}, "application/cloudevents+json")
            assert sent.status == 202
            up.wait_for(partial(_is_on_record, up, key, f"/test {name}"))
    up.becomes("CLOSED")
    return up


def ask(up: Up, command: str, key: str = "shop/login", *options: str) -> CompletedProcess[str]:
    """Ask for something as anna."""
    return run(command, key, "--reason", "INC-42", "--as", "anna", "--url", up.url, *options)


@pytest.mark.parametrize("command", ["trip", "reset", "hold", "release", "explain"])
def test_each_command_shows_an_example(command: str) -> None:
    """--help has a line to paste."""
    found = CliRunner().invoke(cli, [command, "--help"])
    assert found.exit_code == 0
    assert f"fuseboard {command} shop/login" in found.output.partition("Example")[2]


def test_a_trip_opens_and_shows_the_traffic(closed: Up) -> None:
    """One line: state, operator, reason, traffic, and the time of the next trial."""
    found = ask(closed, "trip")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("shop/login is OPEN, tripped by anna: INC-42; traffic: standby 100 % (rehearsed)")
    assert "next trial of the target at" in found.stdout
    assert closed.breaker()["state"] == "OPEN"


def test_a_trip_of_an_open_breaker_forces_it_open(closed: Up) -> None:
    """The mode in force is shown with the time left, and a release ends ForcedOpen."""
    ask(closed, "trip")
    assert "ForcedOpen until" in ask(closed, "trip", "shop/login", "--for", "2h").stdout
    assert "ForcedOpen (1h left)" in run("status", "--url", closed.url).stdout
    assert closed.breaker()["override"]["operator"] == "anna"
    assert "ForcedOpen of anna has ended" in ask(closed, "release").stdout
    assert closed.breaker()["mode"] == "Enforce"


def test_a_reset_brings_the_traffic_home(closed: Up) -> None:
    """From OPEN to CLOSED, even while an alert fires."""
    closed.post("/alertmanager", notification(alert("critical")))
    closed.becomes("OPEN")
    found = ask(closed, "reset")
    assert found.stdout == "shop/login is CLOSED, reset by anna: INC-42; traffic: target 100 % (rehearsed)\n"
    assert "was CLOSED already" in ask(closed, "reset").stdout


def test_a_hold_stops_transitions(closed: Up) -> None:
    """The journal has a critical alert during a hold, and the breaker opens after the release."""
    assert "is CLOSED and held until released by anna: INC-42" in ask(closed, "hold").stdout
    run("send", "alert", "--severity", "critical", "--url", closed.url)
    closed.wait_for(lambda: closed.breaker()["weight"] == 10)
    closed.stays("CLOSED", for_s=0.5)
    assert "held by anna: INC-42" in run("explain", "shop/login", "--url", closed.url).stdout
    assert "still held" in ask(closed, "reset").stdout
    run("send", "alert", "--severity", "critical", "--alertname", "Worse", "--url", closed.url)
    closed.stays("CLOSED", for_s=0.5)

    assert (
        "is OPEN and moves by itself again: the hold of anna has ended, failures weigh 10"
        in ask(closed, "release").stdout
    )

    assert closed.becomes("OPEN")["reason"] == "failures weigh 10, openAt is 10"


def test_a_trip_where_nothing_acts_moves_no_traffic(closed: Up) -> None:
    """In Observe the breaker opens, the target keeps its traffic, and the line says why."""
    found = ask(closed, "trip", "shop/cart")
    assert "shop/cart is OPEN" in found.stdout
    assert "no traffic is moved, the mode is Observe" in found.stdout
    ask(closed, "trip", "shop/cart")
    assert closed.breaker("shop/cart")["placement"]["shares"] == {"target": 100, "standby": 0}
    assert "ForcedOpen, acts on nothing" in run("status", "shop/cart", "--url", closed.url).stdout


def test_a_request_without_waiting(closed: Up) -> None:
    """With --no-wait the request is accepted, and its id is printed."""
    found = ask(closed, "trip", "shop/login", "--no-wait")
    assert "trip is accepted as" in found.stdout
    closed.becomes("OPEN")


def test_two_requests_are_two(closed: Up) -> None:
    """Each invocation has an id of its own: a repeated request is done again."""
    for command in ("trip", "reset", "trip"):
        assert ask(closed, command).returncode == 0
    assert closed.breaker()["state"] == "OPEN"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trip", "shop/logn", "--reason", "x"), "did you mean shop/login?"),
        (("reset", "other/thing", "--reason", "x"), "`fuseboard status` lists"),
        (("explain", "shop/logn"), "did you mean shop/login?"),
    ],
)
def test_an_unknown_name_is_answered_with_similar_names(up: Up, arguments: tuple[str, ...], says: str) -> None:
    """A sentence with a suggestion, and exit code 1."""
    found = run(*arguments, "--url", up.url)
    assert (found.returncode, says in found.stderr, "Traceback" in found.stderr) == (1, True, False), found.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trip", "shop/login"), "--reason"),
        (("trip", "shop/login", "--reason", " "), "one line"),
        (("trip", "shop/login", "--reason", "a\nb"), "one line"),
        (("trip", "shop/login", "--reason", "x" * 513), "512"),
        (("trip", "shop/login", "--reason", "x", "--as", "\x1b[1m"), "one line"),
        (("trip", "login", "--reason", "x"), "NAMESPACE/NAME"),
        (("trip", "shop/login", "--reason", "x", "--for", "0s"), "30 days"),
        (("trip", "shop/login", "--reason", "x", "--for", "tomorrow"), "1h30m"),
        (("hold", "shop/login", "--reason", "x", "--for", "721h"), "30 days"),
        (("reset", "shop/login", "--reason", "x", "--for", "1h"), "No such option"),
    ],
)
def test_wrong_usage_sends_no_request(closed: Up, arguments: tuple[str, ...], says: str) -> None:
    """The request is refused before it is sent, with exit code 2."""
    epoch = closed.breaker()["epoch"]
    found = CliRunner().invoke(cli, [*arguments, "--url", closed.url])
    assert (found.exit_code, says in " ".join(found.output.split())) == (2, True), found.output
    assert (closed.breaker()["epoch"], closed.breaker()["override"]) == (epoch, None)


def test_explain_shows_state_outlook_and_history(closed: Up) -> None:
    """Headline, blocks, next transition, evidence, and history with evidence, steps and requests."""
    run("send", "alert", "--severity", "critical", "--alertname", "KubePodCrashLooping", "--url", closed.url)
    closed.becomes("OPEN")
    ask(closed, "trip", "shop/login", "--for", "30m")
    shown = run("explain", "shop/login", "--url", closed.url).stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert "\x1b" not in shown
    flat = " ".join(shown.split())
    for said in (
        "shop/login is OPEN since",
        "why failures weigh 10, openAt is 10",
        "serves standby 100 % (rehearsed)",
        "ForcedOpen by anna: INC-42 (until",
        "1 condition weighs 10, limitAt is 3",
        "next HALF_OPEN at",
        "10 KubePodCrashLooping Deployment/login: holds since",
        "anna requested trip for 30m: INC-42",
        "moved to standby 100 %",
        "CLOSED → OPEN",
        "10 runtime: KubePodCrashLooping Deployment/login, critical by severity critical (counted 1)",
    ):
        assert said in flat, shown


def test_explain_shows_missing_pods(tmp_path: Path) -> None:
    """The history has the number of ready pods, and the outlook the reason for which the trial waits."""
    short = policy(target={"kind": "Deployment", "name": "login", "minReady": 2}, trip={"readyFor": "1s"})
    told = {"role": "target", "ready": 1, "desired": 2}
    event = {"specversion": "1.0", "type": "dev.fuseboard.capacity.changed", "source": "/test", "id": "1"}
    with Up(tmp_path, short) as up:
        up.post("/events", {**event, "subject": "shop/login", "data": told}, "application/cloudevents+json")
        up.becomes("OPEN")
        up.wait_for(lambda: "is not over" not in run("explain", "shop/login", "--url", up.url).stdout)
        shown = run("explain", "shop/login", "--url", up.url).stdout
    assert "CLOSED → OPEN (epoch 1): 1 pod is ready, minReady is 2" in shown
    assert "stays  1 pod is ready, minReady is 2" in shown
    assert "target: 1/2 pods ready" in shown


def test_explain_as_json(closed: Up) -> None:
    """The same for programs: the breaker, its outlook and its history."""
    ask(closed, "trip")
    found = json.loads(run("explain", "shop/login", "--last", "1", "-o", "json", "--url", closed.url).stdout)
    assert (found["state"], found["outlook"]["ahead"]["state"]) == ("OPEN", "HALF_OPEN")
    assert [part["moved"]["reason"] for part in found["chain"]] == ["tripped by anna: INC-42"]


def test_all_of_it_works_through_the_store(closed: Up) -> None:
    """Where FUSEBOARD_REDIS_URL is set, as in a pod, no port is needed: the request goes through the outbox."""
    url = f"unix://{(closed.state / 'fuseboard' / 'valkey' / 'socket').read_text(encoding='utf-8')}"
    asked = ("shop/login", "--reason", "by the store", "--as", "bob")
    tripped = run("trip", *asked, FUSEBOARD_REDIS_URL=url)
    assert tripped.returncode == 0, tripped.stderr
    assert "shop/login is OPEN, tripped by bob: by the store; traffic: standby 100 %" in tripped.stdout
    assert closed.breaker()["reason"] == "tripped by bob: by the store"
    by_http = run("status", "-o", "json", "--url", closed.url)
    assert json.loads(run("status", "-o", "json", FUSEBOARD_REDIS_URL=url).stdout) == json.loads(by_http.stdout)
    assert "tripped by bob" in run("explain", "shop/login", FUSEBOARD_REDIS_URL=url).stdout
    assert "did you mean" in run("trip", "shop/logn", *asked[1:], FUSEBOARD_REDIS_URL=url).stderr


def test_an_address_is_meant_where_it_is_given(closed: Up) -> None:
    """--url is stronger than the environment."""
    found = run("status", "--url", closed.url, FUSEBOARD_REDIS_URL="redis://127.0.0.1:9")
    assert "shop/login" in found.stdout


def _decide(redis_url: str, *before: Event) -> None:
    """Decide on the events in the outbox, as relay and broker would, after some events of the test."""
    with closing(open_outbox(redis_url)) as outbox, closing(open_store(redis_url)) as store:
        waiting: list[tuple[str, Event]] = []
        while not waiting:
            waiting = outbox.queue.take("test", 1)
        _, request = waiting[0]
        # A transition in the millisecond of the request would not make the request stale.
        until(lambda: store.read(request.subject).now > (request.time or 0))
        function = Breaker(store)
        for event in (*before, request):
            function.handle(event)


def test_a_stale_request_is_an_error(redis_url: str) -> None:
    """The breaker opened while the reset was on its way: the breaker stays open, and the message says why."""
    open_store(redis_url).apply(load_table(EXAMPLE / "breakers.yaml"))
    failure = Failure(key="1", cause="Down", condition="Down", severity="critical")
    opens = Event(id="1", source="/t", subject="shop/login", data=FailureDetected((failure,)))
    with ThreadPoolExecutor(1) as relay:
        decided = relay.submit(_decide, redis_url, opens)
        found = run("reset", "shop/login", "--reason", "x", "--as", "anna", FUSEBOARD_REDIS_URL=redis_url)
        decided.result()
    assert found.returncode == 1
    assert "came too late and was not done" in found.stderr
    assert open_store(redis_url).read("shop/login").state.state == "OPEN"
    assert "stale, not done: anna requested reset: x" in run(
        "explain", "shop/login", FUSEBOARD_REDIS_URL=redis_url
    ).stdout.replace("\n", " ").replace("            ", "")


def test_an_owed_placement_is_shown(redis_url: str) -> None:
    """The breaker opened and the traffic has not moved yet: the line has a mark, and the exit code is 3."""
    open_store(redis_url).apply(load_table(EXAMPLE / "breakers.yaml"))
    with ThreadPoolExecutor(1) as relay:
        decided = relay.submit(_decide, redis_url)
        found = run("trip", "shop/login", "--reason", "x", "--as", "anna", FUSEBOARD_REDIS_URL=redis_url)
        decided.result()
    assert found.returncode == 3
    assert "shop/login is OPEN, tripped by anna: x; traffic: target 100 % (owed)" in found.stdout


def test_an_undecided_request_is_shown(redis_url: str) -> None:
    """Without a relay the request waits in the outbox, and the exit code is 3."""
    open_store(redis_url).apply(load_table(EXAMPLE / "breakers.yaml"))
    found = run("trip", "shop/login", "--reason", "x", "--as", "anna", FUSEBOARD_REDIS_URL=redis_url)
    assert found.returncode == 3
    assert "not decided within 5 s" in found.stdout
    assert open_outbox(redis_url).queue.waiting() == 1
