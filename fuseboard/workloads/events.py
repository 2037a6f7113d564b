"""Kubernetes Events of either API group.

Events of ``core/v1`` and ``events.k8s.io/v1`` are the same objects with different field names. The kubelet and most
controllers write ``count``, ``firstTimestamp`` and ``lastTimestamp``. The scheduler, and all users of the newer
recorder, write ``eventTime`` and, from the second occurrence on, ``series``. Each of these fields may be null.

An Event object stands for several occurrences, and its count grows. The ledger gives each occurrence a key.
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
    "BackOff": "",  # the kubelet's "Back-off pulling image"; the back-off after a crash is a Warning
    "Killing": "probe",  # "failed liveness probe, will be restarted", but not the "Stopping container" of a rollout
    "NodeNotReady": "",
    "Preempted": "",
    "TaintManagerEviction": "Marking for deletion",  # but not "Cancelling deletion"
}
"""Text that the note must contain, by reason, for an Event of type Normal to count as a failure."""

HARMLESS: Final = frozenset({
    "DNSConfigForming",  # a search path was shortened
    "FailedToUpdateEndpoint", "FailedToUpdateEndpointSlices",  # the controller retries; usual during rollouts
    "FailedPreStopHook", "ExceededGracePeriod",  # the pod is leaving anyway
    "PolicyViolation",  # the finding of an audit
    "TopologyAwareHintsDisabled",
})  # fmt: skip
"""Reasons of Warnings that are unrelated to the health of a workload; all other Warnings count as failures.

An Event of an unknown type counts as a Warning.
"""

_COMBINED: Final = "(combined from similar events): "
_REST_OF_SECOND_MS: Final = 999


class ObservedEvent(Struct, frozen=True):
    """The current content of an Event object; times are in milliseconds since 1970, and 0 if unknown."""

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
    """Time of the last occurrence, by the emitter's clock."""
    written_at: int = 0
    """Time of the last change, by the API server's clock."""
    created_at: int = 0
    """Time of the creation, by the API server's clock."""

    @property
    def is_failure(self) -> bool:
        """Whether the Event reports a failure."""
        if self.reporter == OWN or self.reason in HARMLESS:
            return False
        if self.type != NORMAL:
            return True
        needed = NORMAL_FAILURES.get(self.reason)
        return needed is not None and needed in self.note

    def failure(self, key: str, chain: tuple[str, ...] = ()) -> Failure:
        """Return an occurrence as a failure; ``chain`` has the reasons that led to it."""
        # An emitter's clock may be wrong, and a throttled emitter reports late: the API server's clock decides.
        began = self.written_at or self.emitted_at
        # Kubernetes writes whole seconds: take the end of the second. With its begin, the failure would seem to precede
        # a transition in the same second.
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


def read_event(manifest: Mapping[str, Any]) -> ObservedEvent:
    """Read an Event of either API group.

    Raises:
        InvalidInput: the object has not the fields of an Event.

    """
    try:
        event = msgspec.convert(manifest, EventObject)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"not an Event: {error}") from error
    about = event.regarding or event.involved_object or ObjectReference()
    meta = event.metadata
    created = parse_timestamp(meta.creation_timestamp)
    written = [parse_timestamp(each.time) for each in meta.managed_fields or ()]
    return ObservedEvent(
        uid=_short(meta.uid),
        version=meta.resource_version[:32],
        # The namespace of the object: an Event about a Node has itself the namespace "default".
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
    """Return ``app`` for ``spec.containers{app}``, and ``initContainers/app`` for ``spec.initContainers{app}``."""
    group, _, name = path.removeprefix("spec.").partition("{")
    name = plain(name.removesuffix("}"), 48)
    return name if group == "containers" or not name else f"{plain(group, 15)}/{name}"


def _short(uid: str) -> str:
    """Return a uid of at most 40 characters, to leave room in a key; the uids of Kubernetes have 36."""
    return uid if len(uid) <= 40 else digest(uid)  # noqa: PLR2004  - as above
