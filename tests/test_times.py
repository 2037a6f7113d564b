"""Waits between tries."""

from __future__ import annotations

from math import inf

from fuseboard.times import back_off, jittered


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    """A caller that keeps failing asks ever more seldom, but never stops asking."""
    assert [back_off(5_000, failures, 60_000) for failures in (0, 1, 2, 3, 4, 5_000)] == [
        5_000,
        10_000,
        20_000,
        40_000,
        60_000,
        60_000,
    ]


def test_a_wait_stays_a_number_however_often_a_try_fails() -> None:
    """A float that doubles for ever ends as an OverflowError."""
    assert 0 < back_off(0.2, 10_000, inf) < inf


def test_jitter_stays_within_its_range() -> None:
    """Two relays that lost one broker do not return at one moment."""
    waits = {jittered(1.0, 2.0) for _ in range(20)}
    assert len(waits) > 1
    assert all(1.0 <= wait <= 2.0 for wait in waits)
