"""Conditions as Kubernetes writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuseboard.crd.conditions import MESSAGE_LENGTH, condition


def test_a_condition_keeps_its_time_until_it_flips() -> None:
    """Another reason is no other time; another status is."""
    first = condition({}, "Ready", holds=True, reason="A", message="a", now=1_000)
    same = condition({"conditions": [first]}, "Ready", holds=True, reason="B", message="b", now=9_000)
    flipped = condition({"conditions": [first]}, "Ready", holds=False, reason="C", message="c", now=9_000)
    assert first["lastTransitionTime"] == same["lastTransitionTime"] == "1970-01-01T00:00:01Z"
    assert (same["reason"], same["message"]) == ("B", "b")
    assert flipped["lastTransitionTime"] == "1970-01-01T00:00:09Z"


def test_a_condition_of_another_type_lends_no_time() -> None:
    """Each type has its own."""
    other = condition({}, "Tripped", holds=True, reason="A", message="", now=1_000)
    assert condition({"conditions": [other]}, "Ready", holds=True, reason="A", message="", now=2_000) != other


@given(st.text(min_size=MESSAGE_LENGTH, max_size=MESSAGE_LENGTH + 10))
def test_no_message_is_longer_than_may_be_written(text: str) -> None:
    """What is too long is cut."""
    assert len(condition({}, "Ready", holds=True, reason="A", message=text, now=0)["message"]) <= MESSAGE_LENGTH
