"""Sequences of moments: signals, and how long after each other they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from fuseboard.breaker.state import State
from fuseboard.events.types import Failure
from fuseboard.testing.panel import START

if TYPE_CHECKING:
    from fuseboard.events.types import Data

LEGAL: Final = {
    (State.CLOSED, State.LIMITED),
    (State.CLOSED, State.OPEN),
    (State.LIMITED, State.OPEN),
    (State.LIMITED, State.CLOSED),
    (State.OPEN, State.HALF_OPEN),
    (State.HALF_OPEN, State.CLOSED),
    (State.HALF_OPEN, State.OPEN),
}
"""The transitions of the table; an operator may ask for others."""

keys = st.sampled_from("abcdef")
severities = st.sampled_from(["", "info", "warning", "critical"])
starts = st.sampled_from([0, START + 5_000, START + 100_000])
conditions = st.builds(
    lambda name, severity, start: Failure(
        key=f"{name}{start}", cause=name, condition=name, severity=severity, started_at=start
    ),
    keys,
    severities,
    starts,
)
occurrences = st.builds(lambda key, cause: Failure(key=key, cause=cause), keys, st.sampled_from("xy"))
told = st.lists(conditions | occurrences, min_size=1, max_size=3).map(tuple)
waits = st.sampled_from([0, 1, 250, 1_000, 20_000, 60_000, 100_000, 700_000, 3_600_000])
delays = st.sampled_from([0, 0, 0, 1, 500, 30_000, 700_000])


@dataclass(frozen=True)
class Moment:
    """What happens at one point of a sequence: time passes, perhaps the placement is verified, a signal comes."""

    wait: int
    delay: int
    verify: bool
    data: Data
