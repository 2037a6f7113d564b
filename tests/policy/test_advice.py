"""A threshold that the Events of a single object cannot reach is reported."""

from __future__ import annotations

from typing import Any

import pytest

from fuseboard.policy.advice import out_of_reach
from fuseboard.testing.policies import policy


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
