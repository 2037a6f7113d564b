"""Fold the failures of a breaker into as few events as possible; the id of an event follows from its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuseboard.events.event import Event, digest
from fuseboard.events.json import encode_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fuseboard.events.types import Failure, FailureDetected, FailureResolved

MAX_DATA_BYTES: Final = 60 * 1024
"""Limit for the data of an event: with its attributes, the event stays below the 64 KiB that intermediaries forward.

The limit of 64 KiB is from CloudEvents 1.0, Size Limits.
"""


def fold_failures(
    source: str, breaker: str, kind: type[FailureDetected | FailureResolved], failures: Iterable[Failure]
) -> Iterator[Event]:
    """Yield the events that report some failures to a breaker."""
    for part in _split(failures):
        name = digest(breaker, *(failure.key for failure in part))
        yield Event(id=name, source=source, subject=breaker, data=kind(part))


def _split(failures: Iterable[Failure]) -> Iterator[tuple[Failure, ...]]:
    """Yield the failures, ordered by their keys, in parts that fit into an event."""
    whole = sorted(failures, key=lambda failure: failure.key)
    if whole and len(encode_data(whole)) <= MAX_DATA_BYTES:
        yield tuple(whole)
        return
    part: list[Failure] = []
    size = 0
    for failure in whole:
        length = len(encode_data(failure)) + 1
        if part and size + length > MAX_DATA_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(failure)
        size += length
    if part:
        yield tuple(part)
