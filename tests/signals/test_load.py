"""What of a load is told, when it is asked for, and what counts as a number."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.errors import InvalidInput
from fuseboard.events.types import LoadChanged, type_of
from fuseboard.signals.load import (
    FIRST_WITHIN_MS,
    REFRESH_EVERY,
    QuerySlots,
    is_worth_sending,
    load_event,
    parse_answer,
    parse_number,
    query_slots,
)
from fuseboard.testing import policies

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy

NOW: Final = 1_790_000_000_000


def policy(name: str = "login", every: str = "15s", query: str = "load", **standby: float) -> Policy:
    """Return a policy whose target can carry 100."""
    load = {"query": query, "every": every, **({} if query else {"annotation": "load"})}
    spec: dict[str, Any] = {"target": {"name": name, "capacity": 100}, "signals": {"load": load}}
    if standby:
        spec |= {"standby": {"name": f"{name}-standby", **standby}, "route": {"name": name}}
    return policies.policy(name, "default", **spec)


def slots(every: str = "15s", name: str = "login") -> QuerySlots:
    """Return a policy's slots."""
    found = query_slots(policy(name, every))
    assert found is not None
    return found


def vector(*values: str, at: float = NOW / 1000, **more: object) -> bytes:
    """Return an answer of Prometheus with these elements."""
    result = [{"metric": {}, "value": [at, value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **more}).encode()


class TestIsNews:
    """Most of what is known is no news."""

    @pytest.mark.parametrize(
        ("told", "load"),
        [(None, 0.0), (99.9, 100.1), (100.1, 99.9), (150.0, 150.0), (50, 55.0), (50, 45.0), (10, 12.0), (0.0, 5.0)],
        ids=["first", "above", "below again", "stays above", "a tenth more", "a tenth less", "small", "from nothing"],
    )
    def test_is_told(self, told: float | None, load: float) -> None:
        """First, across the capacity and above it, and what changed by a tenth."""
        assert is_worth_sending(load, told, policy().spec)

    @pytest.mark.parametrize(
        ("told", "load"),
        [(50, 50), (50, 54.9), (50, 45.1), (0.0, 0.0), (0.0, 0.9), (0.5, 1.0), (99.0, 100.0), (95, 99.9)],
        ids=["same", "less than a tenth", "less", "nothing", "next to nothing", "noise", "at capacity", "near"],
    )
    def test_is_not_told(self, told: float, load: float) -> None:
        """What changed by less, what is next to nothing, and a load just at the capacity."""
        assert not is_worth_sending(load, told, policy().spec)

    @pytest.mark.parametrize(("told", "load", "news"), [(79.9, 80.1, True), (80.1, 79.9, True), (80.1, 80.2, False)])
    def test_the_standbys_capacity_counts_as_well(self, told: float, load: float, *, news: bool) -> None:
        """Whether the standby could take the traffic depends on it."""
        assert is_worth_sending(load, told, policy(capacity=80).spec) is news


class TestSlots:
    """When a query is asked."""

    def test_two_replicas_ask_for_the_same_moment(self) -> None:
        """Whenever in a slot they ask, and each moment is a new one."""
        mine = slots()
        begin = mine.begin(NOW)
        assert {mine.query_time(begin + late) for late in range(0, 15_000, 100)} == {begin}
        assert mine.query_time(begin + 15_000) == begin + 15_000

    def test_breakers_are_asked_for_one_after_the_other(self) -> None:
        """Of 3,000, about 200 in each second of the fifteen."""
        found = Counter(slots(name=f"b{n}").begin(NOW) // 1_000 for n in range(3_000))
        assert len(found) >= 15
        assert max(found.values()) < 270

    def test_many_new_ones_are_not_asked_at_once(self) -> None:
        """The first ask is spread as well, and soon."""
        first = [slots("1h", name=f"b{n}").first_query(NOW) - NOW for n in range(1_000)]
        assert 0 <= min(first) < 1_000
        assert 14_000 < max(first) < FIRST_WITHIN_MS

    def test_what_is_asked_for_is_never_long_ago(self) -> None:
        """The first ask of a query of every hour is for now, not for when its slot began."""
        mine = slots("1h")
        middle = mine.begin(NOW) + 1_800_000
        assert mine.query_time(middle) == middle

    @given(st.integers(NOW, NOW + 10**9), st.sampled_from(["1s", "15s", "7s", "1m30s"]))
    def test_every_tenth_is_told_anyway(self, now: int, every: str) -> None:
        """Of ten slots in a row, one; the same one for each replica."""
        mine = slots(every)
        moments = [mine.begin(now) + turn * mine.every for turn in range(REFRESH_EVERY)]
        assert sum(mine.is_refresh(each) for each in moments) == 1

    def test_not_all_breakers_are_told_in_the_same_slot(self) -> None:
        """Of 1,000 with nothing new, about a tenth in each."""
        told = sum(slots(name=f"b{n}").is_refresh(slots(name=f"b{n}").begin(NOW)) for n in range(1_000))
        assert 60 < told < 140

    def test_who_has_no_query_is_not_asked_for(self) -> None:
        """The load may come by an annotation alone."""
        assert query_slots(policy(query="")) is None


class TestReading:
    """What an answer holds."""

    def test_one_element_is_the_load(self) -> None:
        """Written as Prometheus writes numbers."""
        assert parse_answer(vector("1.5e+02"), NOW) == 150.0

    def test_a_scalar_is_the_load(self) -> None:
        """It is one number as well."""
        body = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [NOW / 1000, "0"]}})
        assert parse_answer(body.encode(), NOW) == 0.0

    def test_what_is_only_information_does_not_count_as_a_warning(self) -> None:
        """Newer servers tell so where a metric's name has no _total."""
        assert parse_answer(vector("5", warnings=["PromQL info: metric might not be a counter"]), NOW) == 5.0

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (vector(), "no element"),
            (vector("1", "2"), "several elements"),
            (vector("NaN"), "not finite"),
            (vector("+Inf"), "not finite"),
            (vector("-0.5"), "negative"),
            (vector("five"), "no number"),
            (vector("5", warnings=["a store is missing"]), "with warnings"),
            (vector("5", at=NOW / 1000 - 3_600), "of another time"),
            (vector("5", at=NOW / 1000 + 3_600), "of another time"),
            (b"<html>Log in</html>", "no answer of Prometheus"),
            (b"[]", "no answer of Prometheus"),
            (b'{"status":"error","errorType":"bad_data","error":"parse error"}', "refused: parse error"),
            (b'{"status":"success","data":{"resultType":"matrix","result":[]}}', "no number but a matrix"),
            (b'{"status":"success","data":{"resultType":"string","result":[1,"5"]}}', "no number but a string"),
            (b'{"status":"success","data":{"resultType":"vector","result":{}}}', "no number but a vector"),
            (b'{"status":"success","data":{"resultType":"vector","result":[{"histogram":[1,{}]}]}}', "no number"),
            (b'{"status":"success","data":{"resultType":"scalar","result":["5"]}}', "no number"),
        ],
    )
    def test_anything_else_holds_none(self, body: bytes, problem: str) -> None:
        """And it is said what."""
        with pytest.raises(InvalidInput, match=problem):
            parse_answer(body, NOW)

    @given(st.binary())
    def test_no_answer_is_too_strange(self, body: bytes) -> None:
        """Whatever it is, it is an answer without a load."""
        with pytest.raises(InvalidInput):
            parse_answer(body, NOW)


def test_ids_follow_from_breaker_moment_and_load() -> None:
    """Two replicas that had the same answer send the same event; any other is another."""
    event = load_event("shop/login", 5.0, "1")
    assert (event.type, event.subject, event.data) == (type_of(LoadChanged), "shop/login", LoadChanged(5.0))
    assert load_event("shop/login", 5.0, "1") == event
    others = [load_event("shop/cart", 5.0, "1"), load_event("shop/login", 5.1, "1"), load_event("shop/login", 5.0, "2")]
    assert len({each.id for each in (event, *others)}) == 4


@given(st.text())
def test_what_somebody_wrote_is_a_finite_number_or_none(text: str) -> None:
    """Never negative, never NaN, never an error."""
    found = parse_number(text)
    assert found is None or 0 <= found < float("inf")
