"""An Event is read alike in both shapes, and only Events that report a failure count."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.errors import InvalidInput
from fuseboard.events.json import encode_data
from fuseboard.signals.targets import InvolvedObject
from fuseboard.workloads.events import read_event
from tests.workloads.shapes import SHAPES, shape

NAMES = sorted(path.stem for path in SHAPES.glob("*.json"))


def moment(text: str) -> int:
    """Return a time of the fixtures' day in milliseconds since 1970."""
    hour, minute, second = text.split(":")
    at = datetime(2026, 3, 1, int(hour), int(minute), tzinfo=UTC).timestamp() + float(second)
    return round(at * 1000)


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

    def test_the_key_is_short_whatever_the_uid(self) -> None:
        """A uid that is none of Kubernetes' is shortened, and still one's own."""
        long, other = (read_event({"metadata": {"uid": "x" * 5_000 + end, "resourceVersion": "1"}}) for end in "ab")

        assert len(long.uid) == 32
        assert long.uid != other.uid
        assert replace(long, uid=other.uid) == other


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
