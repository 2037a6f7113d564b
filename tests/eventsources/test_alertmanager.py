"""What Alertmanager says becomes signals: each once, none lost, nothing that it did not say.

The input is what a real Alertmanager sent, wherever it sends such a thing. Numbers are those of the edge cases (A) and
of the faults.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsources.alertmanager import Alertmanager
from fuseboard.breaker.placement import Placement
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.step import step
from fuseboard.delivery.source import Notification
from fuseboard.errors import FuseboardError, InvalidInput, StoreUnavailable, TooLarge, WrongContentType
from fuseboard.events.event import Event
from fuseboard.events.json import encode_data
from fuseboard.events.types import DATA_TYPES, Failure, FailureDetected, FailureResolved, LoadChanged
from fuseboard.events.wire import decode, encode
from fuseboard.policy.spec import Policy
from fuseboard.signals.alerts import REPLICA_LABELS
from fuseboard.signals.targets import TargetIndex
from fuseboard.signals.translation import SAMPLES, Translation, translate
from fuseboard.signals.webhook import MAX_ALERTS, SHOWN_LABELS
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.outbox import MemoryOutbox
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import policy
from tests.real.record import load

Payload = dict[str, Any]

SHOP = ("login", "cart", "search", "checkout", "db")
SECRET = "hunter2-hunter2"  # noqa: S105  - a canary
RECORDED = "firing_and_resolved", "fifty", "prometheus_pair", "pod_only", "resolved", "long_unicode_annotation"


POLICIES = [policy(name) for name in SHOP]
TABLE = TargetIndex(POLICIES)


def millis(text: str) -> int:
    """Return a time of RFC 3339 in milliseconds since 1970."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def body(name: str) -> Payload:
    """Return what Alertmanager posted."""
    found: Payload = load(name)["body"]
    return found


NOW = millis(body("fifty")["alerts"][0]["startsAt"]) + 1_000


def translated(payload: object, table: TargetIndex = TABLE, cluster: str = "") -> Translation:
    """Translate as if it had just been sent."""
    return translate(payload, table, cluster, NOW)


def with_alerts(alerts: Sequence[object], name: str = "warning", **fields: object) -> Payload:
    """Return a recorded notification with other alerts."""
    return {**body(name), "alerts": list(alerts), **fields}


def alert(name: str = "warning", labels: Mapping[str, str | None] | None = None, **fields: object) -> Payload:
    """Return the first alert of a recording with other fields; a label that is None is left out."""
    found = deepcopy(body(name)["alerts"][0])
    merged = {**found["labels"], **(labels or {})}
    kept = {label: value for label, value in merged.items() if value is not None}
    return {**found, "labels": kept, **fields}


def failures(events: Iterable[Event], kind: type[FailureDetected | FailureResolved] = FailureDetected) -> list[Failure]:
    """Return all failures that events of one kind carry."""
    return [each for event in events if isinstance(event.data, kind) for each in event.data.failures]


def only(payload: object) -> Failure:
    """Return the single failure that is detected."""
    (failure,) = failures(translated(payload).events)
    return failure


def names(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Return what makes events the same to a reader."""
    return [(event.source, event.id) for event in events]


class Gone(MemoryStore):
    """A store that does not answer."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW)

    def table(self) -> Mapping[str, Policy]:
        raise StoreUnavailable("redis at 127.0.0.1 does not answer")

    def check(self) -> None:
        raise StoreUnavailable("redis at 127.0.0.1 does not answer")


def receiver(outbox: MemoryOutbox | None = None) -> Alertmanager:
    """Return a receiver with the shop's table."""
    store = MemoryStore(lambda: NOW)
    store.apply(POLICIES)
    return Alertmanager(store, outbox or MemoryOutbox(), clock=lambda: NOW / 1000)


def posted(raw: bytes, content_type: str = "application/json", **query: str) -> MemoryOutbox:
    """Hand a body to a receiver and return what it kept."""
    kept = MemoryOutbox()
    receiver(kept).receive(Notification(raw, content_type, query))
    return kept


def encoded(payload: object) -> bytes:
    """Return a payload as it is sent."""
    return json.dumps(payload).encode()


class Story:
    """A breaker that is told what notifications say, ten seconds apart."""

    def __init__(self, **spec: object) -> None:
        self.policy = policy("login", **spec)
        self.table = TargetIndex([self.policy])
        self.breaker = BreakerState()
        self.now = NOW

    def tell(self, *payloads: Payload) -> list[str]:
        verdicts: list[str] = []
        for payload in payloads:
            self.now += 10_000
            for event in translate(payload, self.table, "", self.now).events:
                transition = step(
                    row_of(policy=self.policy, state=self.breaker, placement=Placement(), now=self.now),
                    event.at(self.now),
                )
                self.breaker = transition.after.state
                verdicts += [each.verdict for each in transition.weighed]
        return verdicts


class TestOneEventPerBreaker:
    """All that a notification says about a breaker is one event per kind."""

    def test_a_warning_is_one_event(self) -> None:
        """An alert about a Deployment is one failure of its breaker, with all that the breaker needs."""
        (event,) = translated(body("warning")).events
        assert event.type == "dev.fuseboard.failure.detected"
        assert event.subject == "shop/login"
        assert event.source == "/alertmanager"
        assert event.time is None
        failure = only(body("warning"))
        assert failure.cause == "KubeDeploymentReplicasMismatch Deployment/login"
        assert failure.severity == "warning"
        assert failure.started_at == millis(body("warning")["alerts"][0]["startsAt"])
        assert len(failure.condition) == 32

    def test_a_storm_is_an_event_per_breaker(self) -> None:
        """Fifty alerts about five targets are five events with ten failures each."""
        found = translated(body("fifty"))
        assert [event.subject for event in found.events] == sorted(f"shop/{name}" for name in SHOP)
        assert [len(failures([event])) for event in found.events] == [10] * 5
        assert (found.alerts, found.accepted, found.unmatched, found.quarantined) == (50, 50, 0, ())

    def test_five_thousand_alerts_are_some_twenty_events(self) -> None:
        """A storm of 5,000 is an event per breaker and 60 KiB, translated before anybody waits (A16, fault 2)."""
        table = TargetIndex([policy(f"t{n}") for n in range(20)])
        alerts = [alert(labels={"deployment": f"t{n % 20}", "shard": str(n)}) for n in range(5_000)]
        began = time.thread_time()
        found = translated(with_alerts(alerts), table)
        assert time.thread_time() - began < 1
        assert {event.subject for event in found.events} == {f"shop/t{n}" for n in range(20)}
        assert len(found.events) == 20
        assert len({failure.key for failure in failures(found.events)}) == 5_000

    def test_no_event_is_over_64_kib(self) -> None:
        """What does not fit into one event is split, and nothing is lost or there twice."""
        alerts = [alert(labels={"reason": str(n), "alertname": "\N{FIRE}" * 200}) for n in range(500)]
        found = translated(with_alerts(alerts), cluster="c" * 63)
        assert len(found.events) > 1
        assert all(len(encode(event, structured=True).body) <= 64 * 1024 for event in found.events)
        keys = [failure.key for failure in failures(found.events)]
        assert len(keys) == len(set(keys)) == 500
        assert len({event.id for event in found.events}) == len(found.events)

    def test_an_event_survives_the_wire(self) -> None:
        """What is translated fits the schema of its type, whatever the labels hold."""
        strange = {"alertname": "x" * 10_000, "severity": "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}" * 200}
        for event in translated(with_alerts([alert(labels=strange)])).events:
            message = encode(event)
            assert decode(message.headers, message.body, DATA_TYPES) == event

    def test_two_breakers_of_one_target_have_events_with_ids_of_their_own(self) -> None:
        """An event's id names the breaker that it is for."""
        table = TargetIndex([policy("a", target={"name": "login"}), policy("b", target={"name": "login"})])
        first, second = translated(body("warning"), table).events
        assert (first.subject, second.subject) == ("shop/a", "shop/b")
        assert first.data == second.data
        assert first.id != second.id


class TestStatus:
    """Each alert's own status decides."""

    def test_a_resolved_alert_in_a_firing_group_is_resolved(self) -> None:
        """The group says firing; cart, which is in it, is resolved (A1)."""
        cart, login = translated(body("firing_and_resolved")).events
        assert (cart.subject, type(cart.data)) == ("shop/cart", FailureResolved)
        assert (login.subject, type(login.data)) == ("shop/login", FailureDetected)

    @pytest.mark.parametrize("ends_at", ["0001-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", None])
    def test_an_end_does_not_resolve_a_firing_alert(self, ends_at: str | None) -> None:
        """Whatever its ``endsAt``, an alert that fires fires, and is the same (A2)."""
        found = translated(with_alerts([alert(endsAt=ends_at)]))
        assert names(found.events) == names(translated(body("warning")).events)

    @pytest.mark.parametrize("ends_at", ["0001-01-01T00:00:00Z", "soon", 7, None])
    def test_an_odd_end_does_not_hide_a_resolve(self, ends_at: object) -> None:
        """An alert that is resolved is resolved, whenever that was (A2)."""
        found = translated(with_alerts([alert("resolved", endsAt=ends_at)]))
        assert [failure.condition for failure in failures(found.events, FailureResolved)] == [
            only(body("flap_1_firing")).condition
        ]

    def test_a_resolve_names_the_condition_that_fired(self) -> None:
        """The condition is the same; key and id are not: a resolve is a fact of its own (A9)."""
        fired, ended = (translated(body(name)).events for name in ("flap_1_firing", "flap_2_resolved"))
        (before,), (after,) = failures(fired), failures(ended, FailureResolved)
        assert before.condition == after.condition
        assert before.started_at == after.started_at
        assert before.key != after.key
        assert fired[0].id != ended[0].id

    def test_a_new_episode_is_the_same_condition_and_another_fact(self) -> None:
        """``startsAt`` tells episodes apart, the labels are the condition (A9)."""
        first, second = only(body("flap_1_firing")), only(body("flap_3_firing"))
        assert first.condition == second.condition
        assert first.key != second.key

    def test_what_fires_is_told_before_what_is_resolved(self) -> None:
        """Both in one notification: an open breaker begins no trial on the one while the other is still to come."""
        firing, ended = alert(labels={"reason": "b"}), alert("resolved")
        found = translated(with_alerts([ended, firing]))
        assert [type(event.data) for event in found.events] == [FailureDetected, FailureResolved]

    def test_absence_says_nothing(self) -> None:
        """What a notification does not list is not resolved; what was left out is counted (A3, A8)."""
        found = translated(body("truncated"))
        assert [event.subject for event in found.events] == ["shop/cart"]
        assert found.truncated == 2
        assert found.entry.detail["truncated"] == 2

    def test_a_truncated_group_that_says_resolved_resolves_one(self) -> None:
        """The group says resolved while two others fire: only the alert that is listed ends (A1, A8)."""
        found = translated(body("truncated_resolved"))
        assert not failures(found.events)
        assert len(failures(found.events, FailureResolved)) == 1

    @pytest.mark.parametrize("count", [None, "many", -1, True, [], 10**4000])
    def test_an_odd_count_of_truncated_alerts_harms_nothing(self, count: object) -> None:
        """Whatever ``truncatedAlerts`` is, the alerts that are listed count."""
        found = translated(with_alerts(body("warning")["alerts"], truncatedAlerts=count))
        assert found.accepted == 1
        assert 0 <= found.truncated <= 1_000_000


class TestSameFact:
    """The same fact has the same ids, whoever sends it and however often."""

    def test_a_repeat_has_the_same_ids(self) -> None:
        """A reminder is the same event again (A6, A7, fault 1)."""
        assert names(translated(body("warning")).events) == names(translated(body("warning_repeat")).events)

    def test_twins_of_an_alertmanager_pair_send_the_same_events(self) -> None:
        """Which member of the cluster sends is not part of a fact (A5, fault 1)."""
        for one, other in (("pair_1_firing", "pair_3_firing_late"), ("pair_2_resolved", "pair_4_resolved_again")):
            assert names(translated(body(one)).events) == names(translated(body(other)).events)

    def test_twins_of_a_prometheus_pair_are_one_failure(self) -> None:
        """Two alerts that differ in ``prometheus_replica`` are one condition (A11)."""
        found = translated(body("prometheus_pair"))
        assert found.accepted == 2
        assert len(failures(found.events)) == 1
        assert only(body("prometheus_pair")).condition == only(body("warning")).condition

    @pytest.mark.parametrize("label", sorted(REPLICA_LABELS))
    def test_a_replica_label_is_no_part_of_a_condition(self, label: str) -> None:
        """What says who noticed does not say what (A11)."""
        found = [only(with_alerts([alert(labels={label: value})])) for value in ("a", "b")]
        assert found[0] == found[1] == only(body("warning"))

    @pytest.mark.parametrize("label", ["instance", "pod", "container", "replica", "prometheus", "cluster", "uid"])
    def test_a_label_of_a_real_thing_tells_conditions_apart(self, label: str) -> None:
        """The end of one instance's failure must not be the end of another's (A11)."""
        found = [only(with_alerts([alert(labels={label: value})])) for value in ("a", "b")]
        assert found[0].condition != found[1].condition

    def test_a_failure_that_one_prometheus_still_sees_is_not_resolved(self) -> None:
        """Resolved for one of the pair and firing for the other: it fires, in any order (A11)."""
        a = alert("resolved", labels={"prometheus_replica": "a"})
        b = alert("warning", labels={"prometheus_replica": "b"})
        for alerts in ([a, b], [b, a]):
            found = translated(with_alerts(alerts))
            assert len(failures(found.events)) == 1
            assert not failures(found.events, FailureResolved)

    def test_a_pair_that_disagrees_about_the_start_ends_with_either(self) -> None:
        """The earliest start fires and the last one is resolved: no resolve comes too early for its condition."""
        starts = ["2026-11-23T14:45:05Z", "2026-11-23T14:45:10Z"]
        twins = [alert(labels={"prometheus_replica": each}, startsAt=each) for each in starts]
        ends = [alert("resolved", labels={"prometheus_replica": each}, startsAt=each) for each in starts]
        for payload in (with_alerts(twins), with_alerts(twins[::-1])):
            assert only(payload).started_at == millis(starts[0])
        for payload in (with_alerts(ends), with_alerts(ends[::-1])):
            (ended,) = failures(translated(payload).events, FailureResolved)
            assert ended.started_at == millis(starts[1])

    def test_an_alert_listed_twice_counts_once(self) -> None:
        """Duplicated entries in one notification are one failure."""
        found = translated(with_alerts([alert(), alert()]))
        assert names(found.events) == names(translated(body("warning")).events)

    @pytest.mark.parametrize(
        "field_name", ["receiver", "externalURL", "groupKey", "groupLabels", "commonLabels", "status"]
    )
    def test_the_envelope_is_no_part_of_a_fact(self, field_name: str) -> None:
        """Another receiver, another Alertmanager of the cluster, another route: the same ids (A25, A26)."""
        other = {**body("warning"), field_name: "other"}
        assert names(translated(other).events) == names(translated(body("warning")).events)

    @pytest.mark.parametrize("fingerprint", [None, "", "0", 7])
    def test_the_fingerprint_is_not_needed(self, fingerprint: object) -> None:
        """The condition follows from the labels (A10)."""
        assert only(with_alerts([alert(fingerprint=fingerprint)])) == only(body("warning"))

    def test_annotations_are_no_part_of_a_fact(self) -> None:
        """A text that changes with every evaluation makes no new failure, however long it is."""
        long = body("long_unicode_annotation")["alerts"][0]["annotations"]
        found = translated(with_alerts([alert(annotations=long)]))
        assert (
            found.events
            == translated(with_alerts([alert(annotations=None)])).events
            == translated(body("warning")).events
        )

    def test_one_cause_under_two_names_is_two_conditions(self) -> None:
        """Each alert resolves by itself, so each is a condition with a cause of its own (A14)."""
        alerts = [alert(), alert(labels={"alertname": "KubeDeploymentRolloutStuck"})]
        (event,) = translated(with_alerts(alerts)).events
        assert len({failure.condition for failure in failures([event])}) == 2
        assert len({failure.cause for failure in failures([event])}) == 2

    def test_labels_cannot_be_mistaken_for_others(self) -> None:
        """A value that looks like a separator and another label is not that label."""
        one = only(with_alerts([alert(labels={"a": 'b","c":"d', "c": None})]))
        other = only(with_alerts([alert(labels={"a": "b", "c": "d"})]))
        assert one.condition != other.condition

    def test_the_source_is_the_cluster(self) -> None:
        """``?cluster=`` names the Alertmanager cluster; the failures stay the same (A25)."""
        plain, named = translated(body("warning")), translated(body("warning"), cluster="eu-1")
        assert named.events[0].source == "/alertmanager/eu-1"
        assert named.events[0].id == plain.events[0].id

    @given(data=st.data(), name=st.sampled_from(RECORDED))
    def test_order_makes_no_difference(self, data: st.DataObject, name: str) -> None:
        """Alerts and labels in any order are the same events with the same ids."""
        payload = body(name)
        alerts = [
            {**each, "labels": dict(data.draw(st.permutations(sorted(each["labels"].items()))))}
            for each in data.draw(st.permutations(payload["alerts"]))[:10]
        ]
        kept = sorted(alerts, key=lambda each: str(each["fingerprint"]))
        assert translated({**payload, "alerts": alerts}).events == translated({**payload, "alerts": kept}).events

    @given(replicas=st.lists(st.tuples(st.sampled_from(sorted(REPLICA_LABELS)), st.text(max_size=5)), max_size=4))
    def test_any_number_of_twins_is_one_alert(self, replicas: list[tuple[str, str]]) -> None:
        """However many of a pair tell it, and under whatever name, the ids are the same."""
        twins = [alert(labels={label: value}) for label, value in replicas]
        found = translated(with_alerts([alert(), *twins]))
        assert names(found.events) == names(translated(body("warning")).events)


class TestConsequences:
    """What a breaker makes of notifications as they were recorded."""

    def test_a_warning_limits_and_a_critical_one_opens(self) -> None:
        """The recorded severities weigh what the policy says."""
        warned, struck = Story(), Story()
        warned.tell(body("warning"))
        struck.tell(body("critical"))
        assert (warned.breaker.state, struck.breaker.state) == (State.LIMITED, State.OPEN)

    def test_an_alert_without_severity_is_a_warning(self) -> None:
        """A label that is missing is no reason to ignore a failure (A12)."""
        story = Story()
        assert story.tell(body("no_severity")) == ["counted"]
        assert story.breaker.state is State.LIMITED

    def test_repeats_renew_and_never_add_up(self) -> None:
        """A firing alert told ten times weighs what it weighs once (A6, A7)."""
        story = Story()
        verdicts = story.tell(*[body("warning_repeat")] * 10)
        assert verdicts == ["counted"] + ["renewed"] * 9
        assert story.breaker.weight == 3

    def test_a_burst_of_retries_is_one_failure(self) -> None:
        """Two hundred deliveries of one notification leave what one leaves (A5, A17, fault 1)."""
        once, often = Story(), Story()
        once.tell(body("warning"))
        often.tell(*[body("warning")] * 200)
        assert often.breaker.state is once.breaker.state
        assert often.breaker.epoch == once.breaker.epoch
        assert often.breaker.conditions.keys() == once.breaker.conditions.keys()

    def test_a_resolve_without_a_failure_does_nothing(self) -> None:
        """What was never told to fire can end without harm (A4, A23)."""
        story = Story()
        assert story.tell(body("resolved")) == ["unknown"]
        assert (story.breaker.state, story.breaker.epoch) == (State.CLOSED, 0)

    def test_a_late_firing_does_not_reopen(self) -> None:
        """The second of a pair tells firing after resolved: it is stale, and so is nothing else (A5, A22, fault 14)."""
        story = Story()
        verdicts = story.tell(*(body(name) for name in ("pair_1_firing", "pair_2_resolved", "pair_3_firing_late")))
        assert verdicts == ["counted", "resolved", "stale"]
        assert story.tell(body("pair_4_resolved_again"))[-1] in ("unknown", "resolved")
        assert not story.breaker.conditions

    def test_a_new_episode_counts_again(self) -> None:
        """A flap is seen: what fires again with a new start holds again (A9)."""
        story = Story()
        story.tell(body("flap_1_firing"), body("flap_2_resolved"), body("flap_3_firing"))
        assert len(story.breaker.conditions) == 1

    def test_one_failure_seen_by_two_does_not_open(self) -> None:
        """A pair's twins weigh as one warning where two would open (A11)."""
        story = Story(trip={"limitAt": 3, "openAt": 6})
        story.tell(body("prometheus_pair"))
        assert story.breaker.state is State.LIMITED

    def test_a_pods_failure_limits_its_workload(self) -> None:
        """An alert that names nothing but a pod reaches the workload's breaker (A12)."""
        story = Story()
        story.tell(body("pod_only"))
        assert story.breaker.state is State.LIMITED
        assert story.breaker.causes == ("KubePodCrashLooping Pod/login-7c9f8d6b5d-x2x4z",)


class TestMalformed:
    """One alert that cannot be read fails no other."""

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            ({"startsAt": None}, "startsAt"),
            ({"startsAt": "yesterday"}, "startsAt"),
            ({"startsAt": "2026-11-23T14:45:17"}, "timezone"),
            ({"startsAt": 1795445117}, "startsAt"),
            ({"status": None}, "status"),
            ({"status": SECRET}, "status is neither firing nor resolved"),
            ({"labels": None}, "labels"),
            ({"labels": []}, "labels"),
            ({"labels": {"alertname": 7}}, "labels"),
            ({"labels": {"alertname": None}}, "labels"),
        ],
    )
    def test_one_of_fifty_is_quarantined_and_the_others_count(self, broken: Payload, reason: str) -> None:
        """Forty-nine are stored, one is on the record with its reason (A13, fault 3)."""
        alerts = body("fifty")["alerts"]
        alerts[17] = {**alerts[17], **broken}
        found = translated(with_alerts(alerts))
        assert found.accepted == len(failures(found.events)) == 49
        (quarantined,) = found.quarantined
        assert quarantined.index == 17
        assert reason in quarantined.reason
        assert SECRET not in str(found.entry)

    @pytest.mark.parametrize("gone", ["startsAt", "status", "labels"])
    def test_a_missing_field_is_named(self, gone: str) -> None:
        """The reason says which field is missing (fault 3)."""
        broken = {name: value for name, value in alert().items() if name != gone}
        found = translated(with_alerts([broken, alert()]))
        assert found.accepted == 1
        assert gone in found.quarantined[0].reason
        assert found.entry.detail["quarantinedAlerts"][0]["reason"] == found.quarantined[0].reason

    def test_the_record_shows_listed_labels_only(self) -> None:
        """Neither annotations nor labels that nobody listed are put on the record (T5)."""
        labels: dict[str, str | None] = {"token": SECRET, "alertname": "Odd\x1b[2J\n", "severity": "x" * 5_000}
        broken = alert(labels=labels, annotations={"summary": SECRET}, startsAt="never", generatorURL=SECRET)
        stranger = alert(labels={**labels, "deployment": "other"}, annotations={"summary": SECRET})
        entry = translated(with_alerts([broken, stranger])).entry
        assert SECRET not in str(entry)
        (sample,) = entry.detail["quarantinedAlerts"]
        assert set(sample["labels"]) <= set(SHOWN_LABELS)
        assert sample["labels"]["alertname"] == "Odd\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}"
        assert len(sample["labels"]["severity"]) == 128

    def test_no_secret_reaches_an_event(self) -> None:
        """Annotations and labels stay behind; an event has names, severity and time (T5)."""
        leaking = alert(labels={"token": SECRET}, annotations={"description": SECRET}, generatorURL=SECRET)
        assert SECRET not in str(translated(with_alerts([leaking])).events)

    def test_the_record_is_bounded(self) -> None:
        """However many alerts are malformed or strange, the entry stays small and says how many."""
        alerts: list[object] = [7] * 1_000 + [alert(labels={"deployment": "other"})] * 1_000
        entry = translated(with_alerts(alerts)).entry
        assert entry.detail["quarantined"] == entry.detail["unmatched"] == 1_000
        assert len(entry.detail["quarantinedAlerts"]) == len(entry.detail["unmatchedAlerts"]) == SAMPLES
        assert len(str(entry)) < 64 * 1024

    @given(
        junk=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        ),
        place=st.integers(0, 50),
    )
    def test_a_malformed_alert_changes_nothing_of_the_others(self, junk: object, place: int) -> None:
        """Whatever it is and wherever it stands, the others yield what they yield without it (A13, fault 3)."""
        alerts = body("fifty")["alerts"]
        found = translated(with_alerts([*alerts[:place], junk, *alerts[place:]]))
        assert found.events == translated(body("fifty")).events
        assert [each.index for each in found.quarantined] == [place]


class TestMissingAndStrange:
    """What is about nothing in the table is on the record, and no error."""

    @pytest.mark.parametrize("label", ["namespace", "deployment"])
    def test_an_alert_that_names_no_target_is_on_the_record(self, label: str) -> None:
        """Without namespace or workload there is no signal, and the journal says so (A12, A28)."""
        found = translated(with_alerts([alert(labels={label: None})]))
        assert found.events == ()
        assert (found.accepted, found.unmatched, found.quarantined) == (0, 1, ())
        assert found.entry.detail["unmatchedAlerts"][0]["alertname"] == "KubeDeploymentReplicasMismatch"

    def test_an_alert_without_a_name_counts(self) -> None:
        """A failure is one, whatever it is called (A12)."""
        assert only(with_alerts([alert(labels={"alertname": None})])).cause == "alert without a name Deployment/login"

    def test_no_labels_at_all_is_unmatched(self) -> None:
        """An alert with an empty set of labels is about nothing, and well formed (A12)."""
        assert translated(with_alerts([{**alert(), "labels": {}}])).unmatched == 1

    def test_a_target_outside_the_table_gets_no_signal(self) -> None:
        """The others of the notification do (A13, A28)."""
        found = translated(body("fifty"), TargetIndex([policy("cart")]))
        assert [event.subject for event in found.events] == ["shop/cart"]
        assert (found.accepted, found.unmatched) == (10, 40)

    def test_signals_that_the_policy_does_not_match_are_unmatched(self) -> None:
        """``signals.match`` keeps alerts away from a breaker."""
        table = TargetIndex([policy("login", signals={"match": ['severity="critical"']})])
        assert translated(body("warning"), table).unmatched == 1
        assert translated(body("critical"), table).accepted == 1

    def test_a_notification_without_alerts_is_taken_in(self) -> None:
        """An empty list says nothing, and that is on the record."""
        found = translated(with_alerts([]))
        assert (found.events, found.entry.reason) == ((), "0 alerts")

    @pytest.mark.parametrize(
        "name", ["../../secrets", "login\n", "login;rm -rf /", "{{ .x }}", "\N{RIGHT-TO-LEFT OVERRIDE}"]
    )
    def test_label_text_finds_no_target_and_is_cleaned(self, name: str) -> None:
        """Labels are untrusted: they match a name of the table or nothing (A27)."""
        found = translated(with_alerts([alert(labels={"deployment": name})]))
        assert found.events == ()
        assert found.entry.detail["unmatchedAlerts"][0]["deployment"].isprintable()

    def test_a_start_in_the_future_is_flagged_and_counts(self) -> None:
        """Clocks differ: an alert from ten minutes ahead is a failure, with a note (A21)."""
        ahead = datetime.fromtimestamp(NOW / 1000 + 600, UTC).isoformat()
        found = translated(with_alerts([alert(startsAt=ahead)]))
        assert found.accepted == found.ahead == found.entry.detail["ahead"] == 1
        assert failures(found.events)[0].started_at == millis(ahead)

    def test_an_old_start_is_no_reason_for_a_flag(self) -> None:
        """An alert may fire for months (A21)."""
        found = translated(with_alerts([alert(startsAt="2026-01-01T00:00:00.123456789Z")]))
        assert found.ahead == 0
        assert failures(found.events)[0].started_at == millis("2026-01-01T00:00:00.123Z")

    @pytest.mark.parametrize(
        "start", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    )
    def test_an_absurd_start_is_not_believed(self, start: str) -> None:
        """A time that cannot be orders nothing; the failure counts, and episodes stay apart (A21)."""
        found = translated(with_alerts([alert(startsAt=start)]))
        (failure,) = failures(found.events)
        assert failure.started_at == 0
        assert failure.key != only(body("warning")).key

    def test_the_same_moment_in_another_zone_is_the_same_fact(self) -> None:
        """An offset is a way of writing a time, not another time."""
        one = only(with_alerts([alert(startsAt="2026-11-23T14:45:17Z")]))
        assert one == only(with_alerts([alert(startsAt="2026-11-23T15:45:17.000+01:00")]))


def loaded(value: object, labels: Mapping[str, str | None] | None = None, **fields: object) -> Payload:
    """Return an alert with an annotation."""
    return alert("warning", labels, annotations={"load": value}, **fields)


def loads(*alerts: Payload, annotation: str = "load") -> tuple[list[float], Translation]:
    """Return the loads that are told to a breaker whose policy names an annotation, and all of the translation."""
    subject = translated(with_alerts(alerts)).events[0].subject
    found = translate(with_alerts(alerts), TABLE, "", NOW, {subject: annotation})
    return [event.data.load for event in found.events if isinstance(event.data, LoadChanged)], found


class TestLoad:
    """An alert may carry the load of its target."""

    @pytest.mark.parametrize(
        ("text", "load"), [("312.5", 312.5), ("0", 0.0), ("1.234e+06", 1_234_000.0), ("42", 42.0), ("5e-05", 5e-05)]
    )
    def test_a_number_in_the_annotation_is_the_load(self, text: str, load: float) -> None:
        """What {{ $value }} writes is read; the alert counts as a failure as well."""
        found, translation = loads(loaded(text))
        assert found == [load]
        assert len(failures(translation.events)) == 1
        assert translation.no_loads == ()

    @pytest.mark.parametrize(
        "value",
        ["1.2k", "NaN", "+Inf", "-1", "", " 5", "5/s", "1_0", "0x10", "\u0661", "9" * 400, "1e999", 5, None, ["5"], {}],
    )
    def test_anything_else_is_no_load_and_the_alert_counts(self, value: object) -> None:
        """Humanized, negative, infinite or no text: noted without the value, and the failure is told."""
        found, translation = loads(loaded(value))
        assert found == []
        assert len(failures(translation.events)) == 1
        assert len(translation.no_loads) == (value is not None)
        assert value is None or "no number" in translation.no_loads[0].reason

    def test_who_names_no_annotation_is_told_no_load(self) -> None:
        """Without a policy that names it, or with another name, an annotation is only an annotation."""
        assert loads(loaded("5"), annotation="other")[0] == []
        assert not any(isinstance(e.data, LoadChanged) for e in translated(with_alerts([loaded("5")])).events)

    def test_a_resolved_alert_tells_no_load(self) -> None:
        """Its annotation is from when it fired."""
        assert loads(loaded("5", status="resolved", endsAt="2026-11-23T14:50:17Z"))[0] == []

    def test_of_several_loads_the_highest_is_told(self) -> None:
        """One notification is one load per breaker."""
        alerts = [loaded(text, labels={"n": text}) for text in ("5", "70", "8")]
        assert loads(*alerts)[0] == [70.0]

    def test_the_same_load_sent_again_is_the_same_event(self) -> None:
        """Ids follow from the alert and its number; another number is another event."""
        first, again, other = (loads(loaded(text))[1].events[0].id for text in ("5", "5", "6"))
        assert first == again != other

    def test_an_annotation_that_is_no_load_goes_on_no_record(self) -> None:
        """It may hold anything: the entry names the annotation, the breaker and the alert's labels."""
        entry = loads(loaded(SECRET))[1].entry
        assert SECRET.encode() not in encode_data(entry)
        assert "1 noLoad" in entry.reason


class TestReason:
    """A failure says by which name the table of failures knows it."""

    def test_the_reason_is_the_alerts_name(self) -> None:
        """And without a label reason there is no chain."""
        failure = only(with_alerts([alert(labels={"alertname": "KubePodNotReady", "reason": None})]))
        assert (failure.name, failure.chain) == ("KubePodNotReady", ())

    def test_a_name_of_several_words_is_the_reason_as_a_whole(self) -> None:
        """Only its first word would follow from the cause."""
        assert only(with_alerts([alert(labels={"alertname": "Pod is slow"})])).name == "Pod is slow"

    def test_kube_state_metrics_reason_is_what_led_to_it(self) -> None:
        """KubePodCrashLooping and KubeContainerWaiting carry it."""
        labels = {"alertname": "KubePodCrashLooping", "reason": "CrashLoopBackOff"}
        assert only(with_alerts([alert(labels=labels)])).chain == ("CrashLoopBackOff",)

    def test_an_alert_without_a_name_has_no_reason(self) -> None:
        """It counts, and no table knows it."""
        assert only(with_alerts([alert(labels={"alertname": None})])).name == "alert"


class TestReceive:
    """What is answered, and what is stored before that."""

    def test_a_notification_is_appended_once_with_its_entry(self) -> None:
        """Signals and their line in the journal go into the outbox together (A15)."""
        kept = posted(encoded(body("fifty")), cluster="eu-1")
        assert len(kept.events) == 5
        (entry,) = kept.entries
        assert (entry.kind, entry.event, entry.reason) == ("ingest", "/alertmanager/eu-1", "50 alerts, 50 accepted")
        assert entry.detail["events"] == [f"{event.subject} {event.id}" for event in kept.events]

    def test_what_is_about_nothing_is_on_the_record(self) -> None:
        """Without signals the journal still gets its line (A28)."""
        kept = posted(encoded(with_alerts([alert(labels={"namespace": None})])))
        assert kept.events == []
        assert kept.entries[0].detail["unmatched"] == 1

    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
    def test_json_is_understood(self, content_type: str) -> None:
        """A parameter of the media type makes no difference."""
        assert posted(encoded(body("warning")), content_type).events

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
    )
    def test_another_content_type_is_refused(self, content_type: str) -> None:
        """Only JSON is taken in, and the answer says what to send."""
        with pytest.raises(WrongContentType, match="send application/json"):
            posted(encoded(body("warning")), content_type)

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            (with_alerts([], version="3"), "version is '3', only '4'"),
            (with_alerts([], version=4), "version is 4, only '4'"),
            (with_alerts([], version={"token": SECRET}), "version is no text"),
            ({"alerts": []}, "version is 'missing'"),
            ({"version": "4"}, "alerts is missing"),
            ({"version": "4", "alerts": {"token": SECRET}}, "alerts is not an array"),
            ({"version": "4", "alerts": None}, "alerts is not an array"),
            ([], "not a JSON object"),
            ("4", "not a JSON object"),
            (None, "not a JSON object"),
        ],
    )
    def test_what_is_no_notification_is_refused(self, payload: object, message: str) -> None:
        """The answer names what is wrong and what to send, and repeats no secret (A19)."""
        with pytest.raises(InvalidInput, match=message) as refused:
            posted(encoded(payload))
        assert "own webhook payload" in str(refused.value)
        assert SECRET not in str(refused.value)

    def test_a_value_in_an_answer_is_short(self) -> None:
        """A version of a megabyte does not come back as one."""
        with pytest.raises(InvalidInput) as refused:
            posted(encoded(with_alerts([], version="x" * 1_000_000)))
        assert len(str(refused.value)) < 500

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"alert",
            b"\xff\xfe{}",
            b"[" * 100_000,
            b'{"version": "4", "alerts": [{"labels": ' + b'{"a":' * 100_000,
            b'{"version": "4", "version": "4", "alerts": []}',
            b'{"version": "4", "alerts": [{"labels": {"a": "\\ud800"}}]}',
            b'{"version": "4", "alerts": [NaN]}',
            b'{"version": "4", "alerts": [], "truncatedAlerts": -Infinity}',
            b'{"version": "4", "alerts": [], "truncatedAlerts": ' + b"9" * 5_000 + b"}",
        ],
    )
    def test_json_is_read_strictly(self, raw: bytes) -> None:
        """Depth, half characters, NaN, doubled keys and endless numbers are answered, not stored (faults 22, 23)."""
        kept = MemoryOutbox()
        with pytest.raises(InvalidInput):
            receiver(kept).receive(Notification(raw, "application/json", {}))
        assert (kept.events, kept.entries) == ([], [])

    @pytest.mark.parametrize("cluster", ["", "EU", "eu_1", "-eu", "eu-", "a/b", "a" * 64, "eu\n", "\N{SNOWMAN}"])
    def test_a_cluster_has_a_plain_name(self, cluster: str) -> None:
        """The name becomes part of a CloudEvents source, so only a DNS label is one."""
        with pytest.raises(InvalidInput, match="expected lower case letters"):
            posted(encoded(body("warning")), cluster=cluster)

    def test_twenty_thousand_alerts_are_taken_in(self) -> None:
        """A body near the limit is translated, not refused (A18)."""
        assert len(encoded(body("fifty"))) < Alertmanager.max_body_bytes == 10 * 1024 * 1024
        alerts = [alert(labels={"uid": str(n)}, annotations={}) for n in range(20_000)]
        assert translated(with_alerts(alerts)).accepted == 20_000

    def test_more_alerts_than_anybody_means_to_send_are_refused(self) -> None:
        """Five million alerts of two bytes each fit into a body; they are not read (T8)."""
        with pytest.raises(TooLarge, match="max_alerts"):
            translated(with_alerts([0] * (MAX_ALERTS + 1)))

    def test_without_an_outbox_nothing_is_answered_as_done(self) -> None:
        """The store is gone: said so, and sent again the same events are stored (A15, fault 4)."""
        kept = MemoryOutbox(gone=True)
        source = receiver(kept)
        notification = Notification(encoded(body("warning")), "application/json", {})
        with pytest.raises(StoreUnavailable):
            source.receive(notification)
        assert kept.events == []
        kept.gone = False
        source.receive(notification)
        assert names(kept.events) == names(translated(body("warning")).events)

    def test_without_a_table_nothing_is_taken_in(self) -> None:
        """An alert is not about nothing because the table cannot be read (fault 4)."""
        kept = MemoryOutbox()
        source = Alertmanager(Gone(), kept)
        with pytest.raises(StoreUnavailable):
            source.receive(Notification(encoded(body("warning")), "application/json", {}))
        assert kept.entries == []

    def test_it_is_ready_when_the_store_is(self) -> None:
        """The check says what the store says."""
        receiver().check()
        with pytest.raises(StoreUnavailable):
            Alertmanager(Gone(), MemoryOutbox()).check()

    def test_a_new_table_is_used_at_once(self) -> None:
        """A breaker that is added counts from the next notification on."""
        store, kept = MemoryStore(lambda: NOW), MemoryOutbox()
        source = Alertmanager(store, kept)
        notification = Notification(encoded(body("warning")), "application/json", {})
        source.receive(notification)
        store.apply(POLICIES)
        source.receive(notification)
        assert [entry.detail.get("accepted", 0) for entry in kept.entries] == [0, 1]

    @given(raw=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_no_body_is_too_strange(self, raw: bytes) -> None:
        """Any bytes are taken in or refused on purpose."""
        with pytest.raises(FuseboardError):
            posted(raw)

    @given(
        payload=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["4", "firing", "resolved"]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["version", "alerts", "labels", "status", "startsAt", "endsAt", "namespace", "truncatedAlerts"]
                    ),
                    inner,
                    max_size=8,
                )
            ),
            max_leaves=30,
        )
    )
    def test_no_json_is_too_strange(self, payload: object) -> None:
        """Any JSON is taken in or refused on purpose, as a notification and as its alerts (fault 23)."""
        for shaped in (payload, {"version": "4", "alerts": payload}, {"version": "4", "alerts": [payload]}):
            with suppress(FuseboardError):
                posted(encoded(shaped))

    @given(
        labels=st.dictionaries(st.sampled_from([*SHOWN_LABELS, "x"]), st.text(max_size=20)),
        starts_at=st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.text(max_size=30),
        ends_at=st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.none() | st.integers(),
        status=st.sampled_from(["firing", "resolved", "other"]),
    )
    def test_no_alert_is_too_strange(
        self, labels: dict[str, str], starts_at: str, ends_at: object, status: str
    ) -> None:
        """Every alert is accepted, unmatched or quarantined, and its events fit their schema."""
        about = {**labels, "namespace": "shop", "deployment": "login", "exported_namespace": ""}
        strange = {"labels": about, "status": status, "startsAt": starts_at, "endsAt": ends_at}
        found = translated(with_alerts([strange]))
        assert found.accepted + found.unmatched + len(found.quarantined) == 1
        for event in found.events:
            message = encode(event)
            assert decode(message.headers, message.body, DATA_TYPES) == event
