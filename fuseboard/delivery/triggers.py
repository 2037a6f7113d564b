"""Which events go to which function: the Triggers of the manifests."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta, Struct

from fuseboard.errors import CannotStart
from fuseboard.times import back_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fuseboard.events.event import Event

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader where the package has it: reading the Triggers took most of the start of ``fuseboard up``."""
_ISO_SECONDS: Final = re.compile(r"^PT(\d+(?:\.\d+)?)S$")

_DIALECTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": lambda found, wanted: found == wanted,
    "prefix": lambda found, wanted: found.startswith(wanted),
    "suffix": lambda found, wanted: found.endswith(wanted),
}


class _TriggerPart(Struct, frozen=True, rename="camel"):
    """A part of a Trigger's manifest."""


class Reference(_TriggerPart, frozen=True):
    """A Knative Service by its name."""

    name: str


class Destination(_TriggerPart, frozen=True):
    """Where events go."""

    ref: Reference


class Delivery(_TriggerPart, frozen=True):
    """How often, how fast and where to in the end (Knative Eventing, DeliverySpec)."""

    dead_letter_sink: Destination
    retry: Annotated[int, Meta(ge=0)]
    backoff_policy: str
    backoff_delay: Annotated[str, Meta(pattern=_ISO_SECONDS.pattern)]
    timeout: Annotated[str, Meta(pattern=_ISO_SECONDS.pattern)]

    @property
    def timeout_s(self) -> float:
        """How long a function may take to answer one try, in seconds."""
        return _seconds(self.timeout)

    def waits_s(self) -> Iterator[float]:
        """Yield the waits between tries, in seconds."""
        delay = _seconds(self.backoff_delay)
        for attempt in range(self.retry):
            yield back_off(delay, attempt, inf) if self.backoff_policy == "exponential" else delay * attempt


class TriggerSpec(_TriggerPart, frozen=True):
    """What a Trigger says."""

    broker: str
    subscriber: Destination
    delivery: Delivery
    filters: tuple[dict[str, Any], ...] = ()


class Trigger(Struct, frozen=True):
    """Which events go to which function."""

    name: str
    spec: TriggerSpec

    def lets_through(self, event: Event) -> bool:
        """Say whether the event passes all filters."""
        attributes = {"type": event.type, "source": event.source, "subject": event.subject, "id": event.id}
        return all(_passes(each, {**event.extensions, **attributes}) for each in self.spec.filters)


def manifests() -> Path:
    """Return the folder of the manifests: beside the package in a checkout, inside of it when installed."""
    here = Path(__file__).parents[1]
    return next(path for path in (here / "knative", here.parent / "knative") if path.is_dir())


def read_triggers(folder: Path) -> tuple[Trigger, ...]:
    """Read the Triggers among some manifests.

    Raises:
        CannotStart: one of them cannot be kept here.

    """
    triggers = []
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), _Loader):
            if not document or document.get("kind") != "Trigger":
                continue
            try:
                spec = msgspec.convert(document["spec"], TriggerSpec)
                _check_filters(spec.filters)
            except (msgspec.ValidationError, ValueError) as error:
                raise CannotStart(f"{path}: the Trigger cannot be kept by the local broker: {error}") from error
            triggers.append(Trigger(document["metadata"]["name"], spec))
    return tuple(triggers)


def _passes(filter_: dict[str, Any], attributes: dict[str, str]) -> bool:
    """Evaluate a filter of the CloudEvents subscriptions API, as Knative's ``spec.filters`` has it."""
    ((dialect, expression),) = filter_.items()
    if dialect == "any":
        return any(_passes(each, attributes) for each in expression)
    if dialect == "all":
        return all(_passes(each, attributes) for each in expression)
    if dialect == "not":
        return not _passes(expression, attributes)
    return all(_DIALECTS[dialect](attributes.get(name, ""), value) for name, value in expression.items())


def _check_filters(filters: Sequence[dict[str, Any]]) -> None:
    for each in filters:
        ((dialect, expression),) = each.items()
        if dialect in ("any", "all"):
            _check_filters(expression)
        elif dialect == "not":
            _check_filters([expression])
        elif dialect not in _DIALECTS:
            raise ValueError(f"it knows no filter {dialect!r}: use exact, prefix, suffix, all, any or not")


def _seconds(duration: str) -> float:
    found = _ISO_SECONDS.match(duration)
    return float(found[1]) if found else 0.0
