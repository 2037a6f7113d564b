"""A target's load: what Prometheus' answer says, when it is asked, and what of it a breaker has to hear.

Time is cut into slots as long as ``signals.load.every``, from an offset that follows from the breaker's key: breakers
are asked for one after the other, and two replicas ask for the same moments.

Most answers say nothing new and are not told: 10,000 breakers that were told of each would be 700 events a second.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field

from fuseboard.errors import InvalidInput
from fuseboard.events.event import Event, digest
from fuseboard.events.types import LoadChanged
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.policy.spec import Policy, Spec

SOURCE: Final = "/prometheus"

MIN_CHANGE: Final = 0.1
"""Of the load that was told last: what changed by less is not told..."""
MIN_CHANGE_OF_CAPACITY: Final = 0.01
"""... nor what changed by less than this of the target's capacity: near nothing, everything is more than a tenth."""

REFRESH_EVERY: Final = 10
"""Every tenth answer is told whatever it says: what was lost is not lost for long."""

FIRST_WITHIN_MS: Final = 15_000
"""A query that is new is asked within so long, and not only in its next slot."""

MAX_SKEW_MS: Final = 60_000
"""An answer for a moment that far from the one asked for is somebody's cache."""

_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NUMBER_LENGTH: Final = 64
_SHOWN: Final = 200
_ONE: Final = "write a query with one number as its answer, such as sum(rate(http_requests_total[1m]))"


class _Reading(Struct, frozen=True):
    kind: str = field(name="resultType")
    result: Any


class _QueryAnswer(Struct, frozen=True):
    status: str
    data: _Reading | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


class _Element(Struct, frozen=True):
    value: tuple[float, str]


_decode: Final = msgspec.json.Decoder(_QueryAnswer).decode


class QuerySlots(Struct, frozen=True):
    """When one breaker's query is asked."""

    every: int
    seed: int

    @property
    def offset(self) -> int:
        """Where in each stretch of ``every`` its slots begin."""
        return self.seed % self.every

    def begin(self, now: int) -> int:
        """Return when the slot that it is began."""
        return (now - self.offset) // self.every * self.every + self.offset

    def query_time(self, now: int) -> int:
        """Return the moment to ask for: the begin of the slot, unless that is too long ago to be the load of now."""
        begin = self.begin(now)
        return begin if now - begin < FIRST_WITHIN_MS else now

    def first_query(self, now: int) -> int:
        """Return when a new query is asked first; many at once are spread."""
        return now + self.seed % min(self.every, FIRST_WITHIN_MS)

    def is_refresh(self, moment: int) -> bool:
        """Say whether what is known of a moment is told even if it is nothing new."""
        return (moment // self.every + self.seed // self.every) % REFRESH_EVERY == 0


def query_slots(policy: Policy) -> QuerySlots | None:
    """Return when to ask for a breaker's load; None where nobody wants to."""
    load = policy.spec.signals.load
    if load is None or not load.query:
        return None
    return QuerySlots(duration_ms(load.every), int(digest(policy.key)[:12], 16))


def parse_answer(body: bytes, moment: int) -> float:
    """Return the load that Prometheus' answer holds for a moment.

    Raises:
        InvalidInput: it holds none; the message begins with a name for what is wrong, and says what to write.

    """
    try:
        answer = _decode(body)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"no answer of Prometheus: {error}: is it one that listens there?") from error
    if answer.status != "success" or answer.data is None:
        raise InvalidInput(f"refused: {answer.error[:_SHOWN]}: mend the query")
    warnings = [each for each in answer.warnings if not each.startswith("PromQL info")]
    if warnings:
        # Some of what was asked for may be missing, and then the sum is too small.
        raise InvalidInput(f"with warnings: {warnings[0][:_SHOWN]}: mend the query, or what it asks")
    stamp, text = _sample(answer.data)
    if abs(stamp * 1000 - moment) > MAX_SKEW_MS:
        raise InvalidInput("of another time: is there a cache in between?")
    return _load(text)


def parse_number(text: str) -> float | None:
    """Return a number that somebody wrote, as ``{{ $value }}`` writes it; None for anything else (1.2k, NaN, -1)."""
    if len(text) > _NUMBER_LENGTH or not _NUMBER.fullmatch(text):
        return None
    found = float(text)
    return found if math.isfinite(found) else None


def is_worth_sending(load: float, told: float | None, spec: Spec) -> bool:
    """Say whether a breaker that was told of another load has to hear of this one."""
    capacity = spec.target.capacity
    if told is None or (capacity is not None and load > capacity):
        return True
    if any((load > each) != (told > each) for each in _capacities(spec)):
        return True
    least = max(MIN_CHANGE * told, MIN_CHANGE_OF_CAPACITY * (capacity or 0.0))
    return load != told and abs(load - told) >= least


def load_event(breaker: str, load: float, of: str, source: str = SOURCE) -> Event:
    """Return the event that tells a breaker its load; ``of`` says when, or by what, it was known."""
    name = digest(breaker, "load", of, repr(load))
    return Event(id=name, source=source, subject=breaker, data=LoadChanged(load=load))


def _sample(found: _Reading) -> tuple[float, str]:
    elements = found.result
    try:
        if found.kind == "scalar":
            return msgspec.convert(elements, tuple[float, str])
        if found.kind != "vector" or not isinstance(elements, list):
            raise InvalidInput(f"no number but a {found.kind[:_SHOWN]}: {_ONE}")
        if not elements:
            raise InvalidInput(f"no element: until there is one the load is not known; if none ever comes, {_ONE}")
        if len(elements) > 1:
            raise InvalidInput(f"several elements: {_ONE}")
        return msgspec.convert(elements[0], _Element).value
    except msgspec.ValidationError as error:
        raise InvalidInput(f"no number: {error}: {_ONE}") from error


def _load(text: str) -> float:
    try:
        load = float(text)
    except ValueError as error:
        raise InvalidInput(f"no number: {_ONE}") from error
    if not math.isfinite(load):
        raise InvalidInput(f"not finite: {_ONE}, and see to it that it divides by nothing that can be 0")
    if load < 0:
        raise InvalidInput(f"negative: {_ONE}")
    return load


def _capacities(spec: Spec) -> Iterator[float]:
    for workload in (spec.target, spec.standby):
        if workload is not None and workload.capacity is not None:
            yield workload.capacity
