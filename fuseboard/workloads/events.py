"""What a Kubernetes Event says, in either of its shapes, and how much of it is new.

``core/v1`` and ``events.k8s.io/v1`` are the same objects under other names. The kubelet and most controllers write
``count``, ``firstTimestamp`` and ``lastTimestamp``; the scheduler and what uses the newer recorder write ``eventTime``
and, from the second occurrence on, ``series``. Each may be null.

An Event object stands for many occurrences: its count grows. Each occurrence has a key of its own, uid and number, so
that whoever sees the object, and whenever, names the same occurrences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from fuseboard.cluster.names import NORMAL, OWN
from fuseboard.cluster.objects import EventObject, ObjectReference
from fuseboard.errors import InvalidInput
from fuseboard.events.event import digest
from fuseboard.events.types import Failure
from fuseboard.signals.targets import InvolvedObject
from fuseboard.text import plain
from fuseboard.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

NORMAL_FAILURES: Final[Mapping[str, str]] = {
    "BackOff": "",  # the kubelet's "Back-off pulling image"; the one for crashes is a Warning
    "Killing": "probe",  # "failed liveness probe, will be restarted", and not the "Stopping container" of a rollout
    "NodeNotReady": "",
    "Preempted": "",
    "TaintManagerEviction": "Marking for deletion",  # and not "Cancelling deletion"
}
"""Events of type Normal that speak of a failure, by reason, where the note has this in it. All others do not count."""

HARMLESS: Final = frozenset({
    "DNSConfigForming",  # a search path was shortened
    "FailedToUpdateEndpoint", "FailedToUpdateEndpointSlices",  # the controller tries again; rollouts bring them
    "FailedPreStopHook", "ExceededGracePeriod",  # the pod is leaving anyway
    "PolicyViolation",  # an audit's finding
    "TopologyAwareHintsDisabled",
})  # fmt: skip
"""Warnings that say nothing about how a workload does; any other one counts, whatever its type is called."""


_COMBINED: Final = "(combined from similar events): "
_REST_OF_SECOND_MS: Final = 999


class ObservedEvent(Struct, frozen=True):
    """What one Event object says."""

    uid: str
    version: str
    about: InvolvedObject
    about_uid: str
    type: str
    reason: str
    count: int = 1
    container: str = ""
    note: str = ""
    reporter: str = ""
    emitted_at: int = 0
    """The emitter's stamp of the last occurrence; every time here is in milliseconds since 1970, 0 when not known."""
    written_at: int = 0
    """The API server's stamp of the last change."""
    created_at: int = 0
    """The API server's stamp of the object."""

    @property
    def is_failure(self) -> bool:
        """Whether it speaks against a workload."""
        if self.reporter == OWN or self.reason in HARMLESS:
            return False
        if self.type != NORMAL:
            return True
        needed = NORMAL_FAILURES.get(self.reason)
        return needed is not None and needed in self.note

    def failure(self, key: str, chain: tuple[str, ...] = ()) -> Failure:
        """Return one of its occurrences as a failure; ``chain`` is what led to it, where that is known."""
        # Emitters' clocks may be wrong, and a throttled one tells late: the API server was told when it says it was.
        began = self.written_at or self.emitted_at
        # Kubernetes writes whole seconds: it was by the end of that one. Else a transition in the same second, a moment
        # before, would make it stale.
        began += _REST_OF_SECOND_MS if began and not began % 1_000 else 0
        return Failure(
            key=key,
            cause=f"{self.reason} {self.about.kind}/{self.about.name}"[:320],
            started_at=began,
            emitted_at=self.emitted_at if self.emitted_at != (self.written_at or self.emitted_at) else 0,
            reason=self.reason,
            chain=tuple([each for each in chain if each != self.reason]),
            container=self.container,
        )


def read_event(found: Mapping[str, Any]) -> ObservedEvent:
    """Return what an Event object says, in either shape.

    Raises:
        InvalidInput: it is none.

    """
    try:
        event = msgspec.convert(found, EventObject)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"not an Event: {error}") from error
    about = event.regarding or event.involved_object or ObjectReference()
    meta = event.metadata
    created = parse_timestamp(meta.creation_timestamp)
    written = [parse_timestamp(each.time) for each in meta.managed_fields or ()]
    return ObservedEvent(
        uid=_short(meta.uid),
        version=meta.resource_version[:32],
        # Not the Event's own namespace: that of an Event about a Node is "default".
        about=InvolvedObject(about.namespace or "", plain(about.kind, 63), plain(about.name, 253)),
        about_uid=about.uid or "",
        type=event.type or "",
        reason=plain(event.reason, 128) or "Event",
        count=max(1, next((count for count in _counts(event) if count and count > 0), 1)),
        container=_container(about.field_path or ""),
        note=plain((event.note or event.message or "").removeprefix(_COMBINED), 1_024),
        reporter=event.reporting_controller or event.reporting_component or "",
        emitted_at=next(filter(None, map(parse_timestamp, _times(event))), created),
        written_at=max([*written, created]),
        created_at=created,
    )


def _times(event: EventObject) -> tuple[str | None, ...]:
    """Return the stamps of the last occurrence under all their names, the best first."""
    series = event.series.last_observed_time if event.series else None
    return series, event.last_timestamp, event.deprecated_last_timestamp, event.event_time


def _counts(event: EventObject) -> tuple[int | None, ...]:
    """Return the number of occurrences under all its names."""
    return event.series.count if event.series else None, event.count, event.deprecated_count


def _container(path: str) -> str:
    """Return ``app`` of ``spec.containers{app}``, with its list where that is another: ``initContainers/app``."""
    group, _, name = path.removeprefix("spec.").partition("{")
    name = plain(name.removesuffix("}"), 48)
    return name if group == "containers" or not name else f"{plain(group, 15)}/{name}"


def _short(uid: str) -> str:
    """Return a uid that leaves room for the rest of a key; Kubernetes' own has 36 characters."""
    return uid if len(uid) <= 40 else digest(uid)  # noqa: PLR2004  - as above
