"""What an Event says, in both shapes, and what of it is new: nothing is counted twice, and nothing is made up."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.errors import InvalidInput
from fuseboard.events.json import encode_data
from fuseboard.policy.advice import MAX_DELTA, out_of_reach
from fuseboard.signals.targets import InvolvedObject
from fuseboard.stores.checkpoints import SeenCount
from fuseboard.testing.policies import policy
from fuseboard.workloads.events import ObservedEvent, read_event
from fuseboard.workloads.ledger import Ledger
from tests.workloads.shapes import SHAPES, shape

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = sorted(path.stem for path in SHAPES.glob("*.json"))


def moment(text: str) -> int:
    """Return a time of the fixtures' day in milliseconds since 1970."""
    hour, minute, second = text.split(":")
    at = datetime(2026, 3, 1, int(hour), int(minute), tzinfo=UTC).timestamp() + float(second)
    return round(at * 1000)


def report(count: int = 1, *, uid: str = "u", version: str = "7", created: int = 1_000_000_000) -> ObservedEvent:
    """Return what an Event about a pod says."""
    about = InvolvedObject("shop", "Pod", "login-1")
    return ObservedEvent(uid, version, about, "", "Warning", "BackOff", count, written_at=created, created_at=created)


class TestShapes:
    """K1, K2, K3."""

    @pytest.mark.parametrize("pair", [("core_counted", "new_counted"), ("core_series", "new_series")])
    def test_both_apis_say_the_same(self, pair: tuple[str, str]) -> None:
        """The same object read by core/v1 and by events.k8s.io/v1 is the same report: K1."""
        assert read_event(shape(pair[0])) == read_event(shape(pair[1]))

    @pytest.mark.parametrize(
        ("name", "count", "emitted"),
        [
            ("core_counted", 4, "10:02:00"),
            ("new_counted", 4, "10:02:00"),
            ("core_series", 3, "10:05:59.654"),
            ("new_series", 3, "10:05:59.654"),
            ("new_first", 1, "10:00:00.123"),
            ("core_aggregated", 1, "10:05:00"),
        ],
    )
    def test_count_and_time_are_found_wherever_they_stand(self, name: str, count: int, emitted: str) -> None:
        """The series wins over the count, and the last time that is there over the first: K2, K3."""
        found = read_event(shape(name))

        assert (found.count, found.emitted_at) == (count, moment(emitted))

    @pytest.mark.parametrize("name", NAMES)
    def test_an_event_without_any_stamp_has_the_time_of_its_creation(self, name: str) -> None:
        """Timestamps may all be null: K2."""
        stamps = ("series", "eventTime", "firstTimestamp", "lastTimestamp", "deprecatedLastTimestamp")

        found = read_event(shape(name, **dict.fromkeys(stamps)))

        assert found.emitted_at == found.created_at > 0

    @pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "", "yesterday", "9999-99-99T00:00:00Z"])
    def test_a_stamp_that_is_no_time_is_not_known(self, stamp: str) -> None:
        """Go's zero time and garbage are as good as null: K2."""
        assert read_event(shape("core_counted", lastTimestamp=stamp)).emitted_at == moment("10:00:00")

    @pytest.mark.parametrize("count", [0, -3])
    def test_a_count_that_is_none_is_one(self, count: int) -> None:
        """An Event happened at least once: K3."""
        assert read_event(shape("core_counted", count=count)).count == 1

    @pytest.mark.parametrize(
        "found",
        [
            {},
            {"metadata": {}},
            {"metadata": {"uid": 7, "resourceVersion": "1"}},
            {"metadata": {"uid": "u", "resourceVersion": "1"}, "count": "many"},
            {"metadata": {"uid": "u", "resourceVersion": "1"}, "series": []},
        ],
    )
    def test_what_is_no_event_is_refused(self, found: dict[str, Any]) -> None:
        """An object without uid or with fields of another type is not guessed at."""
        with pytest.raises(InvalidInput):
            read_event(found)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "metadata",
                            "uid",
                            "resourceVersion",
                            "series",
                            "count",
                            "involvedObject",
                            "regarding",
                            "managedFields",
                            "time",
                            "note",
                            "type",
                            "name",
                        ]
                    ),
                    inner,
                )
            ),
        )
    )
    def test_any_json_is_a_report_or_refused(self, found: Any) -> None:  # noqa: ANN401  - any JSON
        """Nothing that an API server, or what stands in its place, sends makes the reader fail otherwise."""
        try:
            said = read_event(found)
        except InvalidInput:
            return
        assert said.count >= 1
        said.failure("u:1")

    @given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=70_000), st.text(max_size=100))
    def test_any_text_makes_a_failure_that_fits_its_schema(self, reason: str, name: str, note: str, path: str) -> None:
        """A note of 64 kB is cut, control characters are replaced, keys stay short: K24."""
        found = shape("core_counted", reason=reason, message=note)
        found["involvedObject"] |= {"name": name, "fieldPath": path}

        failure = read_event(found).failure(f"{'u' * 40}/{'9' * 20}:1000000")

        assert len(failure.key) <= 128
        assert 1 <= len(failure.cause) <= 320
        assert len(failure.container) <= 64
        assert (failure.cause + failure.container).isprintable()


class TestWhatItIsAbout:
    """K6, K19, K20, K21."""

    def test_the_prefix_of_a_combined_event_is_no_part_of_it(self) -> None:
        """An aggregated Event has the cause of those that it stands for: K6."""
        single = read_event(
            shape("core_aggregated", message="Readiness probe failed", metadata=shape("core_counted")["metadata"])
        )
        combined = read_event(shape("core_aggregated"))

        assert not combined.note.startswith("(")
        assert combined.failure("a").cause == single.failure("b").cause == "Unhealthy Pod/login-7d9c5b8f6d-x2x4z"

    def test_the_object_decides_and_not_where_the_event_lies(self) -> None:
        """An Event about a Node lies in the namespace default, and is about nothing there: K21."""
        found = read_event(shape("core_of_a_node"))

        assert found.about == InvolvedObject("", "Node", "node-a")

    @pytest.mark.parametrize(
        ("path", "container"),
        [
            ("spec.containers{app}", "app"),
            ("spec.initContainers{wait}", "initContainers/wait"),
            ("spec.ephemeralContainers{x}", "ephemeralContain/x"[:15] + "/x"),
            ("", ""),
            ("spec.containers[2]", ""),
        ],
    )
    def test_the_container_is_kept(self, path: str, container: str) -> None:
        """An init container is told from a main one: K20."""
        found = shape("core_counted")
        found["involvedObject"]["fieldPath"] = path

        assert read_event(found).failure("k").container == container

    def test_both_stamps_are_kept(self) -> None:
        """The API server's stamp counts, to the end of its second; the emitter's is kept: K25, K28."""
        failure = read_event(shape("core_counted", lastTimestamp="2026-03-01T09:00:00Z")).failure("k")

        assert failure.started_at == moment("10:02:01.999")
        assert failure.emitted_at == moment("09:00:00")

    @pytest.mark.parametrize("name", ["core_aggregated", "core_series"])
    def test_a_note_is_not_passed_on(self, name: str) -> None:
        """A note may quote the answer of a probe, which may hold a secret: K24, T5."""
        observed = read_event(shape(name))

        assert observed.note
        assert observed.note not in encode_data(observed.failure("k")).decode()


class TestWhatCounts:
    """K23, K26."""

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"type": "Critical"},
            {"type": None},
            {"reason": "NobodyKnowsThisOne"},
            {"type": "Normal", "reason": "BackOff", "message": 'Back-off pulling image "x"'},
            {
                "type": "Normal",
                "reason": "Killing",
                "message": "Container app failed liveness probe, will be restarted",
            },
            {"type": "Normal", "reason": "TaintManagerEviction", "message": "Marking for deletion Pod shop/login"},
            {"type": "Normal", "reason": "Preempted", "message": "Preempted by a pod on node n"},
        ],
    )
    def test_it_speaks_of_a_failure(self, changes: dict[str, Any]) -> None:
        """A Warning counts, a type that nobody knows is one, and some of type Normal tell of a failure: K23."""
        assert read_event(shape("core_counted", **changes)).is_failure

    @pytest.mark.parametrize(
        "changes",
        [
            {"type": "Normal", "reason": "Started", "message": "Started container app"},
            {"type": "Normal", "reason": "Killing", "message": "Stopping container app"},
            {"type": "Normal", "reason": "TaintManagerEviction", "message": "Cancelling deletion of Pod shop/login"},
            {"type": "Normal", "reason": "ScalingReplicaSet"},
            {"reason": "DNSConfigForming"},
            {"reportingComponent": "fuseboard"},
        ],
    )
    def test_it_does_not(self, changes: dict[str, Any]) -> None:
        """What a rollout brings, what is harmless and what Fuseboard itself reports is no evidence: K23, K26."""
        assert not read_event(shape("core_counted", **changes)).is_failure


class TestLedger:
    """K3, K4, K9, K10, and fault 8."""

    def test_a_jump_is_as_many_occurrences(self) -> None:
        """From 3 to 9 is six more: fault 8."""
        ledger = Ledger()
        ledger.added(report(3))

        assert ledger.modified(report(9)) == tuple(f"u:{number}" for number in range(4, 10))

    def test_the_same_again_is_nothing(self) -> None:
        """Seen again, by the stream or in a list, an Event has nothing new."""
        ledger = Ledger()
        ledger.added(report(3))

        assert ledger.added(report(3)) == ledger.modified(report(3)) == ledger.listed(report(3), 1) == ()

    def test_a_jump_is_capped(self) -> None:
        """However far a count jumps, one look brings 25, the last ones; the rest never comes later."""
        ledger = Ledger()

        assert ledger.added(report(1_000_000)) == tuple(
            f"u:{1_000_000 - back}" for back in range(MAX_DELTA - 1, -1, -1)
        )
        assert ledger.modified(report(1_000_001)) == ("u:1000001",)

    def test_a_smaller_count_is_a_new_episode(self) -> None:
        """Its occurrences have names of their own, so that none is taken for one of before: K3."""
        ledger = Ledger({"u": SeenCount(9)})

        assert ledger.modified(report(2, version="50")) == ("u/50:1", "u/50:2")
        assert ledger.modified(report(3, version="60")) == ("u/50:3",)

    def test_an_old_list_without_a_checkpoint_counts_once(self) -> None:
        """Of an Event that was there before the first look, only the last occurrence has a time: K10."""
        assert Ledger().listed(report(52), None) == ("u:52",)

    def test_what_came_while_nobody_looked_counts_in_full(self) -> None:
        """An Event that is younger than the checkpoint is new as a whole: K10."""
        assert len(Ledger().listed(report(6, created=2_000_000_000), 1_999_999_000)) == 6

    def test_what_was_forgotten_counts_once(self) -> None:
        """An Event that is older than the checkpoint, and unknown, was forgotten: it is not counted again."""
        assert Ledger().listed(report(6, created=1_000_000_000), 2_000_000_000) == ("u:6",)
        assert Ledger().modified(report(6)) == ("u:6",)

    def test_only_so_many_are_remembered(self) -> None:
        """The one not heard of for the longest time goes first, and is taken off the checkpoint: I18."""
        ledger = Ledger(limit=2)
        for uid in "abc":
            ledger.added(report(uid=uid))

        assert ledger.changes() == {"a": None, "b": SeenCount(1), "c": SeenCount(1)}
        assert ledger.changes() == {}

    def test_what_is_gone_is_forgotten(self) -> None:
        """A deleted Event, or one that a list no longer has, needs no memory: K9."""
        ledger = Ledger({"a": SeenCount(1), "b": SeenCount(1), "c": SeenCount(1)})
        ledger.forget("a")
        ledger.forget("nobody")
        ledger.keep_only({"c"})

        assert ledger.changes() == {"a": None, "b": None}

    @given(st.lists(st.tuples(st.sampled_from(["added", "modified", "listed"]), st.integers(1, 40)), max_size=30))
    def test_no_occurrence_is_named_twice(self, looks: list[tuple[str, int]]) -> None:
        """Whatever is seen, in whatever order and however often, no key comes twice."""
        ledger, named = Ledger(), list[str]()
        take: dict[str, Callable[[ObservedEvent], tuple[str, ...]]] = {
            "added": ledger.added,
            "modified": ledger.modified,
            "listed": lambda each: ledger.listed(each, 1),
        }
        for version, (how, count) in enumerate(looks):
            named += take[how](report(count, version=str(version)))

        assert len(set(named)) == len(named)

    @given(st.lists(st.integers(1, 25), min_size=1, max_size=20), st.data())
    def test_whoever_sees_only_some_names_the_same(self, steps: list[int], data: st.DataObject) -> None:
        """A watcher that missed some changes names the same occurrences as one that saw each: P9."""
        counts = [sum(steps[: index + 1]) for index in range(len(steps))]
        seen = [count for count in counts[:-1] if data.draw(st.booleans())] + counts[-1:]
        every, some = Ledger(), Ledger()
        all_keys = {key for count in counts for key in every.modified(report(count))}
        some_keys = {key for count in seen for key in some.modified(report(count))}

        assert some_keys <= {f"u:{number}" for number in range(1, counts[-1] + 1)}
        assert f"u:{counts[-1]}" in all_keys & some_keys

    def test_a_restart_goes_on_where_it_was(self) -> None:
        """What one run remembers is all that the next one needs."""
        first = Ledger()
        first.added(report(3))
        kept = {uid: known for uid, known in first.changes().items() if known is not None}

        assert Ledger(deepcopy(kept)).listed(report(4), 1) == ("u:4",)


class TestThrottling:
    """F12."""

    @pytest.mark.parametrize(
        ("trip", "weights", "warned"),
        [
            ({"openAt": 26}, {}, True),
            ({"openAt": 25}, {}, False),
            ({"openAt": 26, "window": "5m"}, {}, False),
            ({"openAt": 51, "window": "5m"}, {}, True),
            ({"openAt": 100}, {"occurrence": 4}, False),
            ({"openAt": 101}, {"occurrence": 4}, True),
            ({"openAt": 1000}, {"occurrence": 0}, False),
            ({}, {}, False),
        ],
    )
    def test_a_threshold_out_of_reach_is_warned_about(
        self, trip: dict[str, Any], weights: dict[str, int], *, warned: bool
    ) -> None:
        """25 Events at once and one each five minutes is all that a recorder sends about one object."""
        found = out_of_reach(policy(trip=trip, signals={"weights": weights}))

        assert bool(found) == warned
        assert not warned or "spec.trip.openAt" in str(found)

    def test_the_key_is_short_whatever_the_uid(self) -> None:
        """A uid that is none of Kubernetes' is shortened, and still one's own."""
        long, other = (read_event({"metadata": {"uid": "x" * 5_000 + end, "resourceVersion": "1"}}) for end in "ab")

        assert len(long.uid) == 32
        assert long.uid != other.uid
        assert replace(long, uid=other.uid) == other
