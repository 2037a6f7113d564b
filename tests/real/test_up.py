"""A real Alertmanager moves a real breaker: nothing in between is stood in for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.cli.running import Up, policy
from tests.real.alertmanager import Alert, Alertmanager, require_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGIN = {"alertname": "HighErrorRate", "namespace": "shop", "deployment": "login"}
WARNING = {**LOGIN, "severity": "warning"}
CRITICAL = {**LOGIN, "severity": "critical"}

pytestmark = pytest.mark.usefixtures("_alertmanager_is_here")


@pytest.fixture(scope="module")
def _alertmanager_is_here() -> None:
    """Skip without Alertmanager; in CI, fail."""
    require_binary()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Fuseboard, with short times."""
    with Up(tmp_path) as running:
        yield running


def alertmanager(up: Up, **options: object) -> Alertmanager:
    """Return an Alertmanager that tells Fuseboard, quickly, and repeats quickly unless told otherwise."""
    quick = {"group_by": ["namespace"], "group_wait": "50ms", "group_interval": "200ms", "repeat_interval": "1h"}
    return Alertmanager(webhooks=[f"{up.url}/alertmanager"], **{**quick, **options})  # type: ignore[arg-type]


def test_alerts_trip_and_resolved_ones_let_it_recover(up: Up) -> None:
    """A warning limits, a critical opens; when both are resolved the target is tried and the breaker closes."""
    with alertmanager(up) as source:
        source.fire(WARNING)
        up.becomes("LIMITED")
        source.fire(CRITICAL)
        opened = up.becomes("OPEN")
        assert opened["placement"]["shares"] == {"target": 0, "standby": 100}

        source.resolve(WARNING, CRITICAL)
        closed = up.becomes("CLOSED")
        assert closed["placement"]["shares"] == {"target": 100, "standby": 0}


def test_an_alert_that_goes_on_keeps_its_breaker_open(up: Up) -> None:
    """The cool-down is over long ago, but the condition holds: no trial."""
    with alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        up.stays("OPEN", 3.0)

        source.resolve(CRITICAL)
        up.becomes("CLOSED")


def test_an_alert_that_only_repeats_keeps_its_breaker_open(tmp_path: Path) -> None:
    """Each repeat renews the lease; without repeats the lease ends and the breaker recovers by itself."""
    leased = policy(signals={"repeatInterval": "1s"})
    with Up(tmp_path, leased) as up:
        with alertmanager(up, repeat_interval="100ms") as source:
            source.fire(CRITICAL)
            before = up.becomes("OPEN")
            up.stays("OPEN", 4.0)  # a lease of 3 s would have ended
            after = up.breaker()
            assert (after["epoch"], after["weight"]) == (before["epoch"], before["weight"])
            renewals = [each for each in up.journal() if "renewed" in json.dumps(each.get("weighed", []))]
            assert len(renewals) > 5
        up.becomes("CLOSED")


def test_a_second_alertmanager_changes_nothing(up: Up) -> None:
    """Both of a pair send the same alert: one condition, one weight, one transition.

    They do not know each other, as when a pair is cut in two: else the first may tell the second in time that it has
    sent it.
    """
    now = datetime.now(UTC)
    same = Alert(labels=WARNING, starts_at=now, ends_at=now + timedelta(minutes=5))
    with alertmanager(up) as first, alertmanager(up) as second:
        first.post(same)
        second.post(same)
        up.becomes("LIMITED")
        up.wait_for(lambda: _notifications(up) >= 2)
        up.stays("LIMITED", 1.0)

        found = up.breaker()
        assert (found["epoch"], found["weight"], len(found["causes"])) == (1, 3, 1)


def test_a_late_duplicate_does_not_trip_again_and_a_new_episode_does(up: Up) -> None:
    """Another Alertmanager that slept through the resolve tells of the old episode; then the alert fires anew."""
    began = datetime.now(UTC)
    with alertmanager(up) as source, alertmanager(up) as late:
        source.fire(CRITICAL, starts_at=began)
        up.becomes("OPEN")
        source.resolve(CRITICAL)
        before = up.becomes("CLOSED")
        late.fire(CRITICAL, starts_at=began)
        up.wait_for(lambda: "stale" in json.dumps([each.get("weighed") for each in up.journal()]))
        up.stays("CLOSED", 1.0)
        assert up.breaker()["epoch"] == before["epoch"]

        told = _notifications(up)
        late.resolve(CRITICAL)
        up.wait_for(lambda: _notifications(up) > told)  # else Alertmanager takes the next one for the same episode
        late.fire(CRITICAL, starts_at=datetime.now(UTC))
        up.becomes("OPEN")


def test_a_silenced_alert_does_not_trip_and_one_beside_it_does(up: Up) -> None:
    """Somebody is at work on it and has said so: Alertmanager tells nobody. Of what is not silenced it tells."""
    with alertmanager(up) as source:
        source.silence(alertname="HighErrorRate")
        source.fire(CRITICAL)
        up.stays("CLOSED", 1.5)
        source.fire({**CRITICAL, "alertname": "Down"})
        up.becomes("OPEN")
        assert up.breaker()["causes"] == ["Down Deployment/login"]


def test_a_truncated_group_is_on_the_record_and_nothing_is_inferred(up: Up) -> None:
    """With max_alerts the rest is missing: that is journaled, and what is missing does not count as resolved."""
    with alertmanager(up, max_alerts=2) as source:
        source.post(*(Alert(labels={**WARNING, "alertname": f"Alert{number}"}) for number in range(6)))
        up.becomes("LIMITED")
        up.wait_for(lambda: any('"truncated":4' in json.dumps(each, separators=(",", ":")) for each in _ingested(up)))

        assert up.breaker()["weight"] == 6
        up.stays("LIMITED", 1.0)


def test_warnings_that_grow_in_number_open(up: Up) -> None:
    """One warning limits; four at once weigh 12 and open."""
    with alertmanager(up) as source:
        source.fire(WARNING)
        up.becomes("LIMITED")
        source.post(*(Alert(labels={**WARNING, "alertname": f"Alert{number}"}) for number in range(3)))
        up.becomes("OPEN")


def test_an_alert_that_comes_back_on_trial_reopens(tmp_path: Path) -> None:
    """A new failure while the target serves on trial opens again, and the cool-down doubles."""
    with Up(tmp_path, policy(recover={"healthyFor": "20s"})) as up, alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        source.resolve(CRITICAL)
        up.becomes("HALF_OPEN")
        source.fire({**CRITICAL, "alertname": "Again"})
        again = up.becomes("OPEN")

        assert again["epoch"] == 3
        assert "on trial" in again["reason"]
        assert up.wait_for(lambda: up.breaker()["due"].get("timer"))


def test_nothing_is_lost_while_fuseboard_is_away(up: Up) -> None:
    """Alertmanager sends again until somebody answers: the breaker opens when Fuseboard is back."""
    with alertmanager(up) as source:
        up.stop()
        source.fire(CRITICAL)
        source.wait_for_log("retry")
        up.start()

        up.becomes("OPEN")


def test_alerts_of_others_do_nothing(up: Up) -> None:
    """A target that is in no table, and an alert of severity info, move nothing."""
    with alertmanager(up) as source:
        source.fire({**CRITICAL, "deployment": "cart"})
        source.fire({**LOGIN, "severity": "info"})
        up.wait_for(lambda: _notifications(up) >= 1)

        up.stays("CLOSED", 1.0)
        assert up.breaker()["epoch"] == 0


def test_a_restart_of_alertmanager_changes_nothing(up: Up) -> None:
    """A fresh Alertmanager that sends the same firing alert again is the same condition."""
    started = datetime.now(UTC)
    same = Alert(labels=WARNING, starts_at=started, ends_at=started + timedelta(minutes=5))
    for _ in range(2):
        before = _notifications(up)
        with alertmanager(up) as source:
            source.post(same)
            up.wait_for(partial(_more_than, up, before))
    up.becomes("LIMITED")

    assert (up.breaker()["epoch"], up.breaker()["weight"]) == (1, 3)


def _ingested(up: Up) -> list[dict[str, object]]:
    return [each for each in up.get("/api/journal?limit=500") if each["kind"] == "ingest"]


def _more_than(up: Up, before: int) -> bool:
    return _notifications(up) > before


def _notifications(up: Up) -> int:
    return len(_ingested(up))
