"""What Alertmanager really sends, and what Fuseboard relies on in it.

The numbers are those of the edge cases of the ingest.
"""

from datetime import datetime
from typing import Any

import pytest

from .alertmanager import Alert, Alertmanager, require_binary
from .record import CART, LOGIN, LONG_TEXT, PAYLOADS, SEARCH, STORM, TWINS, Recorder, load

NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json"))
NEVER = "0001-01-01T00:00:00Z"

NOTIFICATION_FIELDS = {
    "alerts",
    "commonAnnotations",
    "commonLabels",
    "externalURL",
    "groupKey",
    "groupLabels",
    "receiver",
    "status",
    "truncatedAlerts",
    "version",
}
ALERT_FIELDS = {
    "annotations",
    "endsAt",
    "fingerprint",
    "generatorURL",
    "labels",
    "startsAt",
    "status",
}


def body(name: str) -> dict[str, Any]:
    """Return what was posted."""
    found: dict[str, Any] = load(name)["body"]
    return found


def alerts(name: str) -> list[dict[str, Any]]:
    """Return the alerts of one recording."""
    found: list[dict[str, Any]] = body(name)["alerts"]
    return found


def only(name: str) -> dict[str, Any]:
    """Return the single alert of one recording."""
    (alert,) = alerts(name)
    return alert


def at(text: str) -> datetime:
    """Parse a time; Go leaves trailing zeros out, so as text 5.1Z is after 5.12Z."""
    return datetime.fromisoformat(text)


def test_there_are_recordings() -> None:
    """The tests over all recordings run over some."""
    assert len(NAMES) > 20


@pytest.mark.parametrize("name", NAMES)
def test_a_notification_has_these_fields(name: str) -> None:
    """Every notification is version "4", with exactly the fields that the translation knows."""
    assert set(body(name)) == NOTIFICATION_FIELDS
    assert body(name)["version"] == "4"
    assert body(name)["groupKey"] == '{}:{namespace="shop"}'
    assert body(name)["groupLabels"] == {"namespace": "shop"}
    assert all(set(alert) == ALERT_FIELDS for alert in alerts(name))


@pytest.mark.parametrize("name", NAMES)
def test_headers_say_json_and_the_version(name: str) -> None:
    """The content type has no parameter, and the user agent names Alertmanager."""
    headers = load(name)["headers"]
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("Alertmanager/")


@pytest.mark.parametrize("name", NAMES)
def test_only_a_resolved_alert_has_an_end(name: str) -> None:
    """A firing alert has the zero `endsAt` (A2), a resolved one an end after its start."""
    for alert in alerts(name):
        if alert["status"] == "firing":
            assert alert["endsAt"] == NEVER
        else:
            assert at(alert["endsAt"]) > at(alert["startsAt"])


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_is_16_hex_digits(name: str) -> None:
    """Every alert has a fingerprint, and within a notification no two share one (A10)."""
    fingerprints = [alert["fingerprint"] for alert in alerts(name)]
    assert all(len(each) == 16 and int(each, 16) for each in fingerprints)
    assert len(set(fingerprints)) == len(fingerprints)


@pytest.mark.parametrize("name", NAMES)
def test_status_is_firing_while_a_listed_alert_fires(name: str) -> None:
    """The notification's status speaks for the alerts that it lists, and for no other."""
    any_fires = any(alert["status"] == "firing" for alert in alerts(name))
    assert body(name)["status"] == ("firing" if any_fires else "resolved")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("truncated")])
def test_nothing_is_truncated_without_max_alerts(name: str) -> None:
    """A complete notification says so with a count of 0."""
    assert body(name)["truncatedAlerts"] == 0


def test_labels_and_annotations_arrive_unchanged() -> None:
    """What Prometheus posted is what the webhook gets."""
    assert only("warning")["labels"] == LOGIN.labels
    assert only("warning")["annotations"] == LOGIN.annotations


def test_a_repeat_is_equal_to_the_first() -> None:
    """A reminder cannot be told from the first notification by its content (A7)."""
    assert load("warning_repeat") == load("warning")


def test_a_firing_group_can_hold_a_resolved_alert() -> None:
    """The notification says firing, yet one of its alerts is resolved (A1)."""
    assert body("firing_and_resolved")["status"] == "firing"
    statuses = {a["labels"]["deployment"]: a["status"] for a in alerts("firing_and_resolved")}
    assert statuses == {"cart": "resolved", "login": "firing"}


def test_what_was_told_resolved_is_not_told_again() -> None:
    """The notification after the mixed one lists only the alert that resolved since."""
    assert only("resolved")["labels"] == LOGIN.labels
    assert only("resolved")["status"] == "resolved"


def test_a_resolve_keeps_the_identity() -> None:
    """Fingerprint and `startsAt` of a resolve are those of the firing alert."""
    firing = next(a for a in alerts("firing_and_resolved") if a["status"] == "firing")
    resolved = only("resolved")
    assert resolved["fingerprint"] == firing["fingerprint"]
    assert resolved["startsAt"] == firing["startsAt"]


def test_truncation_counts_what_it_left_out() -> None:
    """Of three firing alerts one is sent, the first by labels, and two are counted (A8)."""
    assert body("truncated")["truncatedAlerts"] == 2
    assert only("truncated")["labels"] == min((LOGIN, CART, SEARCH), key=_deployment).labels
    assert body("truncated")["commonLabels"] == only("truncated")["labels"]


def test_a_truncated_group_can_say_resolved_while_others_fire() -> None:
    """Status and common labels are those of the listed alerts: two that fire are only counted."""
    assert body("truncated_resolved")["status"] == "resolved"
    assert body("truncated_resolved")["truncatedAlerts"] == 2


def test_a_flap_has_a_new_start_and_the_same_fingerprint() -> None:
    """A fingerprint is the labels, not the episode; `startsAt` tells the episodes apart (A9)."""
    first, end, second = (
        only("flap_1_firing"),
        only("flap_2_resolved"),
        only("flap_3_firing"),
    )
    assert first["fingerprint"] == end["fingerprint"] == second["fingerprint"]
    assert first["startsAt"] == end["startsAt"]
    assert at(second["startsAt"]) > at(end["endsAt"])


def test_an_expired_alert_comes_back_with_the_start_it_had() -> None:
    """Prometheus was cut off: resolved, then firing again with the same `startsAt`, and real."""
    first, end, second = (
        only("lapse_1_firing"),
        only("lapse_2_resolved"),
        only("lapse_3_firing"),
    )
    assert end["status"] == "resolved"
    assert second == first


def test_a_pair_can_tell_firing_after_resolved() -> None:
    """The second member tells what it saw earlier, and takes it back later (A5, A22)."""
    assert only("pair_2_resolved")["status"] == "resolved"
    assert load("pair_3_firing_late") == load("pair_1_firing")
    assert load("pair_4_resolved_again") == load("pair_2_resolved")


def test_twins_of_two_prometheis_are_two_alerts() -> None:
    """Alerts that differ in the replica label alone have a fingerprint each (A11)."""
    twins = [alert["labels"] for alert in alerts("prometheus_pair")]
    assert twins == [twin.labels for twin in TWINS]
    assert "prometheus_replica" not in body("prometheus_pair")["commonLabels"]


def test_a_pod_alert_names_no_workload() -> None:
    """KubePodCrashLooping has pod and container; the workload must be found by the pod (A12)."""
    labels = only("pod_only")["labels"]
    assert labels["pod"] == "login-7c9f8d6b5d-x2x4z"
    assert not labels.keys() & {"deployment", "statefulset", "workload"}


def test_severity_may_be_missing() -> None:
    """An alert without severity is sent like any other, and has no such label at all."""
    assert "severity" not in only("no_severity")["labels"]
    assert only("critical")["labels"]["severity"] == "critical"


def test_text_arrives_unchanged() -> None:
    """Unicode, control characters, quotes and template braces survive, and nothing is cut."""
    assert only("long_unicode_annotation")["annotations"]["description"] == LONG_TEXT


def test_a_storm_is_one_notification() -> None:
    """Fifty alerts on five targets of one namespace come in one request."""
    assert {a["labels"]["pod"] for a in alerts("fifty")} == {a.labels["pod"] for a in STORM}
    assert len({a["labels"]["container"] for a in alerts("fifty")}) == 5


def test_the_installed_alertmanager_still_sends_this() -> None:
    """What is installed here sends what was recorded, but for the time."""
    require_binary()
    with Recorder() as recorder, Alertmanager(webhooks=[recorder.url]) as alertmanager:
        alertmanager.post(LOGIN)
        sent = recorder.next().body
    sent["alerts"][0]["startsAt"] = only("warning")["startsAt"]
    assert sent == body("warning")


def _deployment(alert: Alert) -> str:
    return alert.labels["deployment"]
