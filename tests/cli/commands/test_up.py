"""``fuseboard up`` as its users have it: one process, HTTP, a state directory."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from fuseboard.events.wire import STRUCTURED
from tests.cli import decoy
from tests.cli.running import POLICY, Up, alert, failure_event, notification, policy

KILL_AFTER = 9


def test_an_alert_limits_opens_and_the_traffic_comes_back(tmp_path: Path) -> None:
    """A warning limits, a critical opens, resolved ones let it recover; each step is rehearsed and on the record."""
    with Up(tmp_path) as up:
        assert up.post("/alertmanager", notification(alert())).status == 202
        limited = up.becomes("LIMITED")
        assert limited["placement"]["shares"] == {"target": 50, "standby": 50}

        up.post("/alertmanager", notification(alert("critical")))
        opened = up.becomes("OPEN")
        assert opened["placement"]["shares"] == {"target": 0, "standby": 100}
        assert (opened["placement"]["rehearsed"], opened["mode"], opened["epoch"]) == (True, "Enforce", 2)

        up.post("/alertmanager", notification(alert(resolved=True), alert("critical", resolved=True)))
        closed = up.becomes("CLOSED")
        assert closed["placement"]["shares"] == {"target": 100, "standby": 0}

        steps = [(each["previous"], each["state"]) for each in reversed(up.journal()) if each.get("previous")]
        assert steps == [("CLOSED", "LIMITED"), ("LIMITED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")]
        patches = [each["patch"] for each in up.journal() if each["kind"] == "result" and each.get("patch")]
        assert {"app": "login", "role": "standby"}.items() <= patches[-2]["spec"]["selector"].items()
        for line in ("CLOSED → LIMITED", "LIMITED → OPEN", "OPEN → HALF_OPEN", "HALF_OPEN → CLOSED", "standby 100 %"):
            assert line in up.console()


def test_a_users_own_functions_and_sources_are_never_run(tmp_path: Path) -> None:
    """Started from a folder with ``functions`` and ``eventsources`` of its own, ours take the alert and open."""
    folder = decoy.plant(tmp_path / "theirs")
    with Up(tmp_path, folder=folder) as up:
        assert up.post("/alertmanager", notification(alert("critical"))).status == 202
        up.becomes("OPEN")

    assert decoy.imported(folder) == []


def test_the_same_notification_again_changes_nothing(tmp_path: Path) -> None:
    """Repeats and retries of a notification do not count twice: fault 1."""
    with Up(tmp_path) as up:
        for _ in range(5):
            up.post("/alertmanager", notification(alert()))
        up.becomes("LIMITED")

        assert up.breaker()["epoch"] == 1
        up.stays("LIMITED", 1.0)
        assert up.breaker()["weight"] == 3


def test_observe_decides_and_does_not_act(tmp_path: Path) -> None:
    """In Observe the breaker opens on paper; the shares stay and no patch is made."""
    observing = {**POLICY, "spec": {**POLICY["spec"], "mode": "Observe"}}
    with Up(tmp_path, observing) as up:
        up.post("/alertmanager", notification(alert("critical")))
        found = up.becomes("OPEN")

        assert (found["placement"]["shares"], found["placement"]["result"]) == (
            {"target": 100, "standby": 0},
            "observed",
        )
        assert not any(each.get("patch") for each in up.journal())


def test_info_alerts_and_other_targets_do_nothing(tmp_path: Path) -> None:
    """An alert of no weight, of another target or another namespace moves no breaker, and is on the record: A28."""
    elsewhere = {**alert("critical"), "labels": {**alert("critical")["labels"], "namespace": "other"}}
    cart = {**alert("critical"), "labels": {**alert("critical")["labels"], "deployment": "cart"}}
    with Up(tmp_path) as up:
        assert up.post("/alertmanager", notification(alert("info"), elsewhere, cart)).status == 202

        up.stays("CLOSED", 1.0)
        assert up.breaker()["epoch"] == 0
        (ingest,) = (each for each in up.get("/api/journal") if each["kind"] == "ingest")
        assert "cart" in json.dumps(ingest)


def test_one_malformed_alert_among_fifty_does_not_cost_the_others(tmp_path: Path) -> None:
    """Forty-nine count, the fiftieth is on the record with a reason: fault 3."""
    alerts = [alert("info", f"Alert{number}") for number in range(48)]
    with Up(tmp_path) as up:
        broken = {"labels": {"alertname": "Broken"}, "status": "firing"}
        assert up.post("/alertmanager", notification(*alerts, broken, alert("critical"))).status == 202

        up.becomes("OPEN")
        assert "Broken" in json.dumps(up.get("/api/journal"))


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """After a restart the breaker is where it was, and what it waited for comes."""
    with Up(tmp_path, policy(recover={"coolDown": "8s"})) as up:
        up.post("/alertmanager", notification(alert("critical")))
        before = up.becomes("OPEN")
        up.post("/alertmanager", notification(alert("critical", resolved=True)))
        up.stop()
        up.start()

        after = up.breaker()
        assert (after["epoch"], after["since"], after["placement"]["shares"]) == (
            before["epoch"],
            before["since"],
            before["placement"]["shares"],
        )
        up.becomes("CLOSED")


def test_nothing_accepted_is_lost_by_a_kill(tmp_path: Path) -> None:
    """What was answered 202 trips its breaker although the process is killed at that very moment: fault 5."""
    with Up(tmp_path) as up:
        for number in range(3):
            answer = up.post("/alertmanager", notification(alert("critical", f"Alert{number}")))
            assert answer.status == 202
            up.kill()
            up.start()
            up.becomes("OPEN")
        causes = up.wait_for(lambda: len(up.breaker()["causes"]) == 3 and up.breaker()["causes"])
        assert [cause.split()[0] for cause in causes] == ["Alert0", "Alert1", "Alert2"]


def test_a_store_that_dies_is_503_and_works_again(tmp_path: Path) -> None:
    """While Valkey is gone a notification is 503 and nothing is half stored; then it is started again: fault 4."""
    with Up(tmp_path) as up:
        before = len(up.get("/api/journal"))
        _kill_store(up)
        answer = up.post("/alertmanager", notification(alert("critical")))
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert "Redis" in answer.json()["detail"]

        up.wait_for(lambda: up.status("/readyz") == 200)
        assert up.breaker()["epoch"] == 0
        assert len(up.get("/api/journal")) == before
        assert up.post("/alertmanager", notification(alert("critical"))).status == 202
        up.becomes("OPEN")


def _kill_store(up: Up) -> None:
    """Kill the Valkey that this program started."""
    import os  # noqa: PLC0415  - for this one thing
    import signal  # noqa: PLC0415

    for child in Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    up.wait_for(lambda: up.status("/readyz") == 503)


@pytest.mark.parametrize(
    ("status", "body", "content_type", "hint"),
    [
        (400, b"nonsense", "application/json", "JSON"),
        (400, {"version": "3", "alerts": []}, "application/json", "version"),
        (400, {"version": "4"}, "application/json", "alerts"),
        (400, b'{"version": "4", "alerts": [], "alerts": []}', "application/json", "twice"),
        (400, b'{"version": "4", "alerts": [NaN]}', "application/json", "NaN"),
        (400, b'{"version": "4", "alerts": ["\\ud800"]}', "application/json", "surrogate"),
        (400, b"[" * 100_000, "application/json", "deep"),
        (415, {"version": "4", "alerts": []}, "text/plain", "application/json"),
        (413, b" " * (10 * 1024 * 1024 + 1), "application/json", "max_alerts"),
    ],
    ids=["not-json", "version", "no-alerts", "duplicate", "nan", "surrogate", "depth", "type", "size"],
)
def test_bad_notifications_are_told_what_to_do(
    shared: Up, status: int, body: object, content_type: str, hint: str
) -> None:
    """Each kind of bad notification has its answer, and a sentence that helps."""
    answer = shared.post("/alertmanager", body, content_type)

    assert answer.status == status
    assert hint in answer.json()["detail"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401  - a generator of Up
    """One program for tests that do not move its breaker."""
    with Up(tmp_path_factory.mktemp("up")) as up:
        yield up


def test_the_surface_is_what_it_says(shared: Up) -> None:
    """Probes and metrics answer; what is not there is 404, what cannot be asked is 400."""
    assert [shared.status(path) for path in ("/healthz", "/readyz", "/metrics", "/api/breakers")] == [200] * 4
    assert shared.status("/api/breakers/shop/cart") == 404
    assert shared.status("/api/journal?breaker=shop/cart") == 404
    assert shared.status("/api/journal?limit=0") == 400
    assert shared.status("/api/journal?limit=many") == 400
    assert shared.status(f"/api/journal?limit=000001{'9' * 30}") == 400
    assert shared.status("/alertmanager") == 405
    assert shared.status("/functions/nothing") == 404


def test_any_cloudevent_is_taken_in(shared: Up) -> None:
    """POST /events is an ingress: 202 for an event of any type, and the journal function writes it down."""
    foreign = {"specversion": "1.0", "type": "com.example.thing", "source": "/x", "id": "odd", "data": {"a": 1}}

    assert shared.post("/events", foreign, STRUCTURED).status == 202

    log = shared.state / "fuseboard" / "fuseboard.jsonl"
    shared.wait_for(lambda: "com.example.thing" in log.read_text(encoding="utf-8"))


def test_an_event_that_is_none_is_refused(shared: Up) -> None:
    """An old specversion, both modes at once and data that fit no schema are 400."""
    old = {**failure_event("x"), "specversion": "0.3"}
    empty = {**failure_event("x"), "data": {}}

    assert shared.post("/events", old, STRUCTURED).status == 400
    assert shared.post("/events", empty, STRUCTURED).status == 400
    assert shared.post("/events", failure_event("x"), STRUCTURED, {"ce-id": "1"}).status == 400


@pytest.mark.parametrize(
    ("status", "data", "media"),
    [
        (202, "[" * 64 + "]" * 64, "application/json"),
        (413, "[" + ",".join(["1e15"] * 40_000) + "]", "application/json"),
        (400, '{"a": 1}', STRUCTURED),
    ],
    ids=["deep", "grows", "two-modes"],
)
def test_what_is_accepted_is_in_nobodys_way(tmp_path: Path, status: int, data: str, media: str) -> None:
    """An odd event is delivered, or refused at the door; an alert of the same breaker is decided all the same."""
    odd = (
        '{"specversion": "1.0", "type": "com.example.note", "source": "/me", "id": "odd", "subject": "shop/login",'
        f' "datacontenttype": "{media}", "data": {data}}}'
    )
    with Up(tmp_path) as up:
        assert up.post("/events", odd.encode(), STRUCTURED).status == status
        assert up.post("/alertmanager", notification(alert("critical"))).status == 202
        up.becomes("OPEN")


def test_occurrences_count_through_the_ingress(tmp_path: Path) -> None:
    """Three Kubernetes warnings limit; the same one again does not count."""
    with Up(tmp_path) as up:
        for name in ("1", "2", "2", "2"):
            assert up.post("/events", failure_event(name), STRUCTURED).status == 202
        up.wait_for(lambda: up.breaker()["weight"] == 2)
        up.stays("CLOSED", 0.5)

        up.post("/events", failure_event("3"), STRUCTURED)
        up.becomes("LIMITED")


def test_a_function_answers_as_knative_would_see_it(tmp_path: Path) -> None:
    """One function alone: 200 with its reply, the same to a duplicate, 202 when there is nothing to say."""
    with Up(tmp_path, policy(recover={"coolDown": "30s"})) as up:
        event = failure_event("direct", "critical")
        first, second = (up.post("/functions/breaker", event, STRUCTURED) for _ in range(2))
        quiet = up.post("/functions/breaker", failure_event("other"), STRUCTURED)

        assert (first.status, first.headers["ce-type"]) == (200, "dev.fuseboard.breaker.opened")
        assert (second.status, second.headers["ce-id"], second.data) == (200, first.headers["ce-id"], first.data)
        assert (quiet.status, quiet.data) == (202, b"")
        # Its reply went to the caller, not to the broker: the clock notices the debt, and it is paid.
        up.becomes("OPEN")


def test_timers_come_within_a_second(tmp_path: Path) -> None:
    """The cool-down of 2 s ends 2 to 3 s after the breaker opened."""
    with Up(tmp_path) as up:
        up.post("/events", failure_event("once", "critical"), STRUCTURED)
        up.wait_for(lambda: up.breaker()["state"] == "OPEN")
        up.wait_for(lambda: up.breaker()["state"] == "HALF_OPEN")

        opened, tried = (
            next(each["now"] for each in up.journal() if each.get("previous") and each["state"] == state)
            for state in ("OPEN", "HALF_OPEN")
        )
        assert 2_000 <= tried - opened <= 3_000


def test_the_console_shows_a_line_per_transition_and_step_once(tmp_path: Path) -> None:
    """Each transition and each step is one readable line."""
    with Up(tmp_path) as up:
        up.post("/alertmanager", notification(alert("critical")))
        up.becomes("OPEN")
        up.wait_for(lambda: "placement 1.1" in up.console())
        time.sleep(0.3)

        lines = [line for line in up.console().splitlines() if "shop/login" in line]
        assert sum("CLOSED → OPEN" in line for line in lines) == 1
        assert sum("placement 1.1: standby 100 %" in line for line in lines) == 1


def test_a_breaker_that_leaves_the_table_while_moved_is_told(tmp_path: Path) -> None:
    """Taking a breaker out of the file while its traffic is moved is said aloud, and the others go on."""
    other = {**POLICY, "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"target": {"name": "cart"}}}
    with Up(tmp_path) as up:
        up.post("/alertmanager", notification(alert("critical")))
        up.becomes("OPEN")
        up.stop()
        up.file.write_text(json.dumps(other), encoding="utf-8")
        up.start()

        assert "shop/login left the table" in up.console()
        assert [each["name"] for each in up.get("/api/breakers")] == ["cart"]


def test_slow_clients_do_not_keep_others_waiting(shared: Up) -> None:
    """Connections that send nothing leave the API answering."""
    idle = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(40)]
    try:
        assert shared.status("/api/breakers") == 200
    finally:
        for each in idle:
            each.close()


def test_a_header_over_the_limit_is_no_500(shared: Up) -> None:
    """A header of 300 KiB is refused by the server, not a bug: fault 24."""
    try:
        status = shared.post("/events", b"{}", headers={"ce-id": "x" * 300_000}).status
    except urllib3.exceptions.HTTPError:
        return  # it closed the connection, which is an answer too
    assert 400 <= status < 500


def test_the_example_of_a_breaker_table_opens_on_its_capacity(tmp_path: Path) -> None:
    """Two breakers of which one depends on the other; a load above the target's capacity opens that one alone."""
    example = Path(__file__).parents[3] / "examples" / "02-breaker-table"
    with Up(tmp_path, by_file=False, options=("-f", str(example / "breakers.yaml"))) as up:
        assert up.post("/events", (example / "load.json").read_bytes(), STRUCTURED).status == 202
        found = up.wait_for(lambda: up.breaker("books/cart")["state"] == "OPEN" and up.breaker("books/cart"))
        assert found["reason"] == "the load is 350, the target's capacity is 300"
        assert up.breaker("books/db")["state"] == "CLOSED"
