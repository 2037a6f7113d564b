"""The trial of a HALF_OPEN breaker: since when its share is in place, and what fails it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseboard.breaker.row import CLOCK_STEP_MS

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row


def placed_since(row: Row) -> int:
    """Return since when the route is settled for the trial's share, in milliseconds since 1970; 0 when it is not."""
    since = row.verified_since
    if since > row.state.clock + CLOCK_STEP_MS and row.state.since < row.state.held_until:
        return row.state.held_until  # the clock was set back since: the placement has its time from before
    return since


def on_trial_since(row: Row) -> int:
    """Return since when the target serves the trial's share; 0 when it does not yet, or was not given any traffic."""
    return placed_since(row) if row.placement.shares.target else 0


def at_stake_since(row: Row) -> int:
    """Return since when failures fail the trial; 0 while they do not.

    Between two shares, the target serves on by the share before.
    """
    serves = row.placement.epoch == row.state.epoch and row.placement.shares.target
    return on_trial_since(row) or (row.state.trial_since if serves else 0)


def floor(row: Row) -> int:
    """Return the moment up to which evidence is too old to fail the trial."""
    return max(at_stake_since(row), row.state.watermark)


def failing_cause(row: Row) -> str:
    """Return the cause of a failure that fails the trial; empty when there is none."""
    if not at_stake_since(row):
        return ""
    oldest = floor(row)
    return next((each.cause for each in row.state.weighing if each.seen > oldest and not each.limits_only), "")


def is_last(row: Row) -> bool:
    """Say whether the trial is at the last of its shares."""
    return row.state.trial >= len(row.policy.spec.recover.shares) - 1
