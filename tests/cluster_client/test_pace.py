"""Waits of a watch after failures."""

from __future__ import annotations

from fuseboard.cluster.pace import MAX_BROKEN, WatchFailures, WatchPace


def test_waits_grow_to_their_limit_with_jitter() -> None:
    """From 0.8 s to 30 s, never the same for two watchers: fault 9."""
    failures = WatchFailures(WatchPace())
    waits = [failures.next_wait() for _ in range(40)]

    assert all(0.8 <= each <= 30 for each in waits)
    assert waits[0] <= 1.6
    assert min(waits[8:]) >= 15
    assert len(set(waits)) == len(waits)


def test_progress_makes_the_next_wait_short_again() -> None:
    """A stream that reports a change ends the count of failures, and so does one that ends in time."""
    failures = WatchFailures(WatchPace())
    for success in (failures.progressed, failures.forget):
        for _ in range(10):
            failures.next_wait()
        success()
        assert failures.next_wait() <= 1.6


def test_errors_within_streams_break_a_version() -> None:
    """Only errors that follow each other count, and a new version begins without any."""
    failures = WatchFailures(WatchPace())
    for restart in (failures.progressed, failures.version_dropped):
        assert [failures.is_version_broken() for _ in range(MAX_BROKEN)] == [False] * (MAX_BROKEN - 1) + [True]
        restart()
