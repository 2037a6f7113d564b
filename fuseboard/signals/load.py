"""The load of a target: when to query Prometheus, how to read the answer, and which answers to send to the breaker.

Time is divided into slots of the length ``signals.load.every``, with an offset that follows from the breaker's key. The
queries of different breakers are therefore spread, and two replicas query for the same moments.

Most answers bring no news and are not sent: sending every answer for 10,000 breakers would make 700 events a second.
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
"""The least change to send, as a fraction of the load sent last..."""
MIN_CHANGE_OF_CAPACITY: Final = 0.01
"""... and as a fraction of the target's capacity: near a load of 0, every change exceeds a tenth."""

REFRESH_EVERY: Final = 10
"""Each tenth answer is sent in any case, to replace lost events."""

FIRST_WITHIN_MS: Final = 15_000
"""A new query is sent within this time, even if its next slot begins later."""

MAX_SKEW_MS: Final = 60_000
"""An answer for a time further away from the requested time comes from a cache."""

_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NUMBER_LENGTH: Final = 64
_SHOWN: Final = 200
_WRITE: Final = "write a query that returns a single number, such as sum(rate(http_requests_total[1m]))"


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
    """The times at which to send a breaker's query, in milliseconds."""

    every: int
    seed: int

    @property
    def offset(self) -> int:
        """Distance of each slot's begin from a multiple of ``every``."""
        return self.seed % self.every

    def begin(self, now: int) -> int:
        """Return the begin of the current slot."""
        return (now - self.offset) // self.every * self.every + self.offset

    def query_time(self, now: int) -> int:
        """Return the time to query for: the begin of the slot, unless the slot began too long ago."""
        begin = self.begin(now)
        return begin if now - begin < FIRST_WITHIN_MS else now

    def first_query(self, now: int) -> int:
        """Return when to send a new query; many new queries are spread over time."""
        return now + self.seed % min(self.every, FIRST_WITHIN_MS)

    def is_refresh(self, moment: int) -> bool:
        """Say whether the answer for a time is sent even without news."""
        return (moment // self.every + self.seed // self.every) % REFRESH_EVERY == 0


def query_slots(policy: Policy) -> QuerySlots | None:
    """Return when to query for a breaker's load; None for a policy without a query."""
    load = policy.spec.signals.load
    if load is None or not load.query:
        return None
    return QuerySlots(duration_ms(load.every), int(digest(policy.key)[:12], 16))


def parse_answer(body: bytes, moment: int) -> float:
    """Return the load from an answer of Prometheus for a time.

    Raises:
        InvalidInput: the answer has no load; the message begins with the kind of problem and ends with a solution.

    """
    try:
        answer = _decode(body)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"no answer of Prometheus: {error}: check that the address is a Prometheus") from error
    if answer.status != "success" or answer.data is None:
        raise InvalidInput(f"refused: {answer.error[:_SHOWN]}: correct the query")
    warnings = [each for each in answer.warnings if not each.startswith("PromQL info")]
    if warnings:
        # A part of the series may be missing, which would make a sum too small.
        raise InvalidInput(f"with warnings: {warnings[0][:_SHOWN]}: correct the query, or the Prometheus that answers")
    stamp, text = _sample(answer.data)
    if abs(stamp * 1000 - moment) > MAX_SKEW_MS:
        raise InvalidInput("of another time: check for a cache between Fuseboard and Prometheus")
    return _load(text)


def parse_number(text: str) -> float | None:
    """Read a number as ``{{ $value }}`` writes it; return None for other text, such as 1.2k, NaN or -1."""
    if len(text) > _NUMBER_LENGTH or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def is_worth_sending(load: float, sent: float | None, spec: Spec) -> bool:
    """Say whether a load differs enough from the load ``sent`` last."""
    capacity = spec.target.capacity
    if sent is None or (capacity is not None and load > capacity):
        return True
    if any((load > each) != (sent > each) for each in _capacities(spec)):
        return True
    least = max(MIN_CHANGE * sent, MIN_CHANGE_OF_CAPACITY * (capacity or 0.0))
    return load != sent and abs(load - sent) >= least


def load_event(breaker: str, load: float, of: str, source: str = SOURCE) -> Event:
    """Return the event that reports a load to a breaker; ``of`` identifies the query or the alert behind the load."""
    name = digest(breaker, "load", of, repr(load))
    return Event(id=name, source=source, subject=breaker, data=LoadChanged(load=load))


def _sample(reading: _Reading) -> tuple[float, str]:
    elements = reading.result
    try:
        if reading.kind == "scalar":
            return msgspec.convert(elements, tuple[float, str])
        if reading.kind != "vector" or not isinstance(elements, list):
            raise InvalidInput(f"no number but a {reading.kind[:_SHOWN]}: {_WRITE}")
        if not elements:
            raise InvalidInput(f"no element: the load is unknown until there is an element; if this lasts, {_WRITE}")
        if len(elements) > 1:
            raise InvalidInput(f"several elements: {_WRITE}")
        return msgspec.convert(elements[0], _Element).value
    except msgspec.ValidationError as error:
        raise InvalidInput(f"no number: {error}: {_WRITE}") from error


def _load(text: str) -> float:
    try:
        load = float(text)
    except ValueError as error:
        raise InvalidInput(f"no number: {_WRITE}") from error
    if not math.isfinite(load):
        raise InvalidInput(f"not finite: {_WRITE}, and avoid a division by 0")
    if load < 0:
        raise InvalidInput(f"negative: {_WRITE}")
    return load


def _capacities(spec: Spec) -> Iterator[float]:
    for workload in (spec.target, spec.standby):
        if workload is not None and workload.capacity is not None:
            yield workload.capacity
