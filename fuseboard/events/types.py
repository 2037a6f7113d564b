"""Fuseboard's events, and how they travel as CloudEvents 1.0.

A type is ``dev.fuseboard.<noun>.<past participle>`` and follows from the name of the class that holds its data.
``subject`` is ``namespace/breaker``; ``partitionkey`` equals it. Ids are deterministic: the same fact has the same
``source`` and ``id``, whoever sends it, so that a duplicate can be known as one.

Bindings and validation are the CloudEvents SDK's (``cloudevents.core``); only the JSON in them is read more strictly
than Python reads it by itself: no NaN, no duplicate keys, no lone surrogates, no unbounded depth.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import unquote

import msgspec
from cloudevents.core.bindings import http
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.base import Format
from cloudevents.core.v1.event import CloudEvent
from msgspec import Meta, Struct, field

from fuseboard.errors import InvalidInput, WrongContentType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudevents.core.base import BaseCloudEvent, EventFactory

    EventTypes = frozenset[str]
    """Types that a function consumes or emits."""

STRUCTURED: Final = "application/cloudevents+json"
JSON: Final = "application/json"
MAX_EVENT_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_ATTRIBUTE: Final = 1_024
"""Characters in an id, a source, a subject or a type: they are kept, so they must not be as long as a sender likes."""

_TYPE_PREFIX: Final = "dev.fuseboard."
_SCHEMA_PREFIX: Final = "https://fuseboard.dev/schemas/"
_JSON_MEDIA: Final = re.compile(r"^(application|text)/([\w.-]+\+)?json\s*(;.*)?$", re.ASCII | re.IGNORECASE)
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_NOT_TAKEN_IN: Final = datetime.max.replace(tzinfo=UTC)
"""Stands where an event has no time: left alone, the SDK would put in that of its own clock."""
_INTEGERS: Final = range(-(2**63), 2**64)
"""What fits into 64 bits: a longer integer is nobody's, and could not be written again."""


class Data(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What an event says; camelCase on the wire."""


Key = Annotated[str, Meta(min_length=1, max_length=128, description="What makes this failure this one.")]
Millis = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="Milliseconds since 1970, to the year 9999.")]
Cause = Annotated[str, Meta(min_length=1, max_length=320, description="Alert name or reason, and the object.")]


Reason = Annotated[str, Meta(max_length=128, description="Alert name, Kubernetes reason or container exit reason.")]


class Failure(Data, frozen=True):
    """One thing that went wrong with a target.

    With ``condition`` it is something that is so until it is resolved (a firing alert); without, something that
    happened (a Kubernetes event).
    """

    key: Key
    cause: Cause
    condition: Annotated[str, Meta(max_length=128)] = ""
    severity: Annotated[str, Meta(max_length=64)] = ""
    started_at: Millis = 0
    """When it began, in milliseconds since 1970; 0 when it is not known. Evidence of too long ago does not count."""
    emitted_at: Millis = 0
    """The emitter's own stamp, where ``started_at`` is somebody else's."""
    reason: Reason = ""
    """What went wrong, by the name that the table of failures knows it by."""
    chain: Annotated[tuple[Reason, ...], Meta(max_length=8)] = ()
    """What led to it, by reason, the nearest first: ``OOMKilled`` behind a ``BackOff``."""
    container: Annotated[str, Meta(max_length=64)] = ""
    """The container of the pod that it is about."""
    summary: Annotated[str, Meta(max_length=1024)] = ""

    @property
    def name(self) -> str:
        """Its reason; where none is given, the first word of its cause."""
        return self.reason or self.cause.partition(" ")[0]


class FailureDetected(Data, frozen=True):
    """Failures of one target, as one notification told them."""

    failures: Annotated[tuple[Failure, ...], Meta(min_length=1)]


class FailureResolved(Data, frozen=True):
    """Conditions of one target that hold no longer."""

    failures: Annotated[tuple[Failure, ...], Meta(min_length=1)]


class IngestGapFound(Data, frozen=True):
    """Signals about a namespace may have been lost: for a while nobody looked, and what was missed is no more."""

    namespace: Annotated[str, Meta(max_length=63)]
    since: Millis = field(name="from")
    until: Millis = field(name="to")
    reason: Annotated[str, Meta(max_length=1024)]


class Role(StrEnum):
    """Which workload of a breaker."""

    TARGET = "target"
    STANDBY = "standby"


class Phase(StrEnum):
    """What a workload goes through that makes pods unready on purpose."""

    STEADY = "steady"
    ROLLOUT = "rollout"
    DISRUPTION = "disruption"
    """A drain, an eviction, a preemption: pods are moved elsewhere."""
    FRESH = "fresh"
    """It has never been available since it was made, and its time to become so is not over."""


class CapacityChanged(Data, frozen=True):
    """How many pods of a target or a standby are ready, as of now."""

    role: Role
    ready: Annotated[int, Meta(ge=0)]
    desired: Annotated[int, Meta(ge=0)]
    phase: Phase = Phase.STEADY
    probe: Annotated[str, Meta(max_length=256, description="Why the policy's probe fails; 'ok' where it passes.")] = ""
    """Empty where nothing was probed."""


class LoadChanged(Data, frozen=True):
    """The load of a target, as of now, in the unit of its capacity."""

    load: Annotated[float, Meta(ge=0)]


class Action(StrEnum):
    """What an operator can ask of a breaker."""

    TRIP = "trip"
    RESET = "reset"
    HOLD = "hold"
    RELEASE = "release"
    RETIRE = "retire"
    """Reset and hold: its CircuitBreaker is being deleted, and the traffic goes home for good."""


class OperatorRequested(Data, frozen=True):
    """An operator asks for something; it is on the record with name and reason."""

    action: Action
    operator: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Annotated[str, Meta(min_length=1, max_length=512)]
    duration_ms: Millis = 0
    """How long it lasts from when it was taken in; 0 until another request ends it."""


class TimerElapsed(Data, frozen=True):
    """A time that a breaker waited for has come: a cool-down, a lease, a trial."""

    due_at: Millis


class BreakerMoved(Data, frozen=True):
    """A transition of a breaker; every subclass is one state that was entered."""

    state: str
    previous: str
    epoch: int
    mode: str
    since: int
    reason: str
    weight: int = 0
    causes: tuple[str, ...] = ()


class BreakerLimited(BreakerMoved, frozen=True):
    """The target should serve only part of its traffic."""


class BreakerOpened(BreakerMoved, frozen=True):
    """The target should not serve."""


class BreakerHalfOpened(BreakerMoved, frozen=True):
    """The target serves on trial."""


class BreakerClosed(BreakerMoved, frozen=True):
    """The target serves."""


class StepDue(Data, frozen=True):
    """A breaker's placement is still owed."""

    due_at: Millis


class FailoverDone(Data, frozen=True):
    """What became of one step towards what a breaker asks for; every subclass is one outcome."""

    epoch: int
    step: int
    result: str
    reason: str
    shares: dict[str, int]
    rehearsed: bool = False


class FailoverCompleted(FailoverDone, frozen=True):
    """The placement is what the breaker asks for, or its debt is paid otherwise (observed, not expressible)."""


class FailoverRefused(FailoverDone, frozen=True):
    """The step was not begun; it is tried again later."""


class FailoverFailed(FailoverDone, frozen=True):
    """The cluster refused the step for good; it is tried again after a cool-down."""


class FailoverReverted(FailoverDone, frozen=True):
    """The step did not hold and was undone."""


class Foreign(Struct, frozen=True):
    """Data of an event that its reader does not know, or does not want to look into."""

    type: str
    content: object
    """JSON as Python reads it; bytes where ``media`` is something else."""
    media: str = JSON


@lru_cache(maxsize=64)
def type_of(kind: type[Data]) -> str:
    """Return the CloudEvents type of a class: ``BreakerHalfOpened`` is ``dev.fuseboard.breaker.half_opened``."""
    noun, *participle = _CAPITAL.split(kind.__name__)
    return f"{_TYPE_PREFIX}{noun.lower()}.{'_'.join(participle).lower()}"


KINDS: Final[Mapping[str, type[Data]]] = {
    type_of(kind): kind
    for kind in (
        FailureDetected,
        FailureResolved,
        CapacityChanged,
        LoadChanged,
        OperatorRequested,
        IngestGapFound,
        TimerElapsed,
        BreakerLimited,
        BreakerOpened,
        BreakerHalfOpened,
        BreakerClosed,
        StepDue,
        FailoverCompleted,
        FailoverRefused,
        FailoverFailed,
        FailoverReverted,
    )
}


def types(*kinds: type[Data]) -> EventTypes:
    """Return the types of some classes of data."""
    return frozenset(type_of(kind) for kind in kinds)


SIGNALS: Final = types(FailureDetected, FailureResolved, CapacityChanged, LoadChanged, OperatorRequested, TimerElapsed)
BREAKER_EVENTS: Final = types(BreakerLimited, BreakerOpened, BreakerHalfOpened, BreakerClosed)
FAILOVER_EVENTS: Final = types(FailoverCompleted, FailoverRefused, FailoverFailed, FailoverReverted)
ANY: Final[EventTypes] = frozenset({"*"})
"""What a function consumes whose Trigger has no filter."""


class Event(Struct, frozen=True, kw_only=True):
    """A CloudEvent with data that has a name."""

    id: str
    source: str
    subject: str
    data: Data | Foreign
    time: int | None = None
    """When it was taken in (a signal) or decided (a reply), by the store's clock, in milliseconds since 1970."""
    extensions: dict[str, str] = {}

    @property
    def type(self) -> str:
        """Its CloudEvents type."""
        return self.data.type if isinstance(self.data, Foreign) else type_of(type(self.data))

    def at(self, time: int) -> Event:
        """Return the same event with this time."""
        return msgspec.structs.replace(self, time=time)

    def reply(self, data: Data, *, step: str, time: int) -> Event:
        """Return the event that answers this one; its id follows from this one's and the step."""
        trace = {name: value for name, value in self.extensions.items() if name in ("traceparent", "tracestate")}
        name = digest(self.source, self.id, step)
        return Event(id=name, source="/fuseboard", subject=self.subject, data=data, time=time, extensions=trace)


def digest(*parts: str) -> str:
    """Return a short name that follows from its parts alone: 128 bits of SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def encode(event: Event, *, structured: bool = False) -> http.HTTPMessage:
    """Return the event as an HTTP message in binary mode, or in structured mode."""
    wire = CloudEvent(_attributes(event), _content(event.data))
    if structured:
        return http.to_structured(wire, _STRICT)
    message = http.to_binary(wire, _STRICT)
    if event.time is None:
        del message.headers["ce-time"]
    return message


def decode(headers: Mapping[str, str], body: bytes, known: Iterable[str] = ANY) -> Event:
    """Read an event in either mode; data of a type that is not in ``known`` stays as it came.

    Raises:
        InvalidInput: it is not a CloudEvent 1.0, or its data are not what its type says.
        WrongContentType: it is in neither mode, or its data are not JSON.

    """
    found = {name.lower(): value for name, value in headers.items()}
    if len(found) < len(headers):
        raise InvalidInput("a header is there twice, in capitals and in small letters: send it once")
    media = found.get("content-type", "")
    binary = {name: value for name, value in found.items() if name.startswith("ce-")}
    structured = media.partition(";")[0].strip().lower() == STRUCTURED
    if structured and binary:
        names = ", ".join(sorted(binary))
        raise InvalidInput(f"both modes at once: the content type {STRUCTURED} and the headers {names}: send one")
    if not structured and not binary:
        raise WrongContentType(
            f"not a CloudEvent: send its attributes as ce-* headers, or the content type {STRUCTURED}"
        )
    try:
        if structured:
            wire = http.from_structured(http.HTTPMessage(found, body), _STRICT, _as_sent)
        else:
            _check_headers(binary)
            message = http.HTTPMessage({**binary, "content-type": media or JSON}, body)
            wire = http.from_binary(message, _STRICT, _as_sent)
    except BaseCloudEventException as error:
        raise InvalidInput(f"not a CloudEvent 1.0: {_flat(error)}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"not a CloudEvent 1.0: {error}") from error
    return _read(wire, known)


def decode_json(body: bytes, depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401  - JSON is any value until it is given a type
    """Read JSON as strictly as the wire deserves.

    Raises:
        InvalidInput: not UTF-8, not JSON, NaN or Infinity, a key twice, a lone surrogate, too deep, too long a number.

    """
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite, parse_int=_integer
        )
    except RecursionError as error:
        raise InvalidInput("the JSON is nested too deep") from error
    except ValueError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if body.count(b"[") + body.count(b"{") > depth:
        _refuse_depth(value, depth)
    if _SURROGATE.search(body):
        _refuse_surrogates(value)
    return value


def encode_data(data: object) -> bytes:
    """Return data as compact JSON."""
    return msgspec.json.encode(data)


def schema(kind: type[Data]) -> dict[str, Any]:
    """Return the JSON Schema of a type's data."""
    name = type_of(kind).removeprefix(_TYPE_PREFIX)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{_SCHEMA_PREFIX}{name}.json",
        **msgspec.json.schema(kind),
    }


def schema_files() -> dict[str, str]:
    """Return the schemas of all types by the name of the file that the package ships."""
    return {
        f"{name.removeprefix(_TYPE_PREFIX)}.json": json.dumps(schema(kind), indent=2) + "\n"
        for name, kind in KINDS.items()
    }


class _StrictJSON(Format):
    """The JSON event format (CloudEvents JSON format 1.0), read strictly."""

    def read(self, event_factory: EventFactory | None, data: str | bytes) -> BaseCloudEvent:
        # One level more, for the envelope: data are as deep in one mode as in the other.
        members = decode_json(data if isinstance(data, bytes) else data.encode(), MAX_DEPTH + 1)
        if not isinstance(members, dict):
            raise InvalidInput("a CloudEvent in structured mode is a JSON object")
        attributes = {name: value for name, value in members.items() if value is not None}
        content = _content_of(attributes, attributes.pop("data", None), attributes.pop("data_base64", None))
        if "time" in attributes:
            attributes["time"] = _moment(attributes["time"])
        return (event_factory or CloudEvent)(attributes, content)

    def write(self, event: BaseCloudEvent) -> bytes:
        members = {name: _text(value) for name, value in event.get_attributes().items() if value is not _NOT_TAKEN_IN}
        content = event.get_data()
        # msgspec writes bytes as base64 (RFC 4648), as the format asks for.
        return encode_data({**members, "data_base64" if isinstance(content, bytes) else "data": content})

    def write_data(self, data: dict[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:
        del datacontenttype  # what is not JSON is bytes
        return data if isinstance(data, bytes) else encode_data(data)

    def read_data(self, body: bytes, datacontenttype: str | None) -> dict[str, Any] | str | bytes | None:
        if not _JSON_MEDIA.match(datacontenttype or JSON):
            return body
        return decode_json(body) if body else None

    def get_content_type(self) -> str:
        return STRUCTURED


_STRICT: Final = _StrictJSON()


def _as_sent(attributes: dict[str, Any], data: Any) -> CloudEvent:  # noqa: ANN401  - as the SDK's factories
    # The SDK makes up what is missing: an id, its own version, its own clock. Here, what was not sent is not there.
    return CloudEvent({"id": "", "specversion": "", "time": _NOT_TAKEN_IN, **attributes}, data)


def _content_of(attributes: Mapping[str, Any], data: object, encoded: object) -> Any:  # noqa: ANN401  - any JSON
    """Return the data of an event in structured mode, as binary mode would have read them."""
    media = str(attributes.get("datacontenttype", JSON))
    if encoded is not None:
        if data is not None:
            raise InvalidInput("an event has data or data_base64, not both")
        return _STRICT.read_data(base64.b64decode(encoded, validate=True), media)  # type: ignore[arg-type]
    if data is None or _JSON_MEDIA.match(media):
        return data
    return data.encode() if isinstance(data, str) else encode_data(data)


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what the SDK would read as something else: bytes that are not UTF-8, a time that is not RFC 3339."""
    for name, value in headers.items():
        text = unquote(value, errors="strict")
        text.encode()
        if name == "ce-time":
            _moment(text)


def _moment(text: str) -> datetime:
    if not _RFC_3339.fullmatch(text):
        message = f"time is {text[:64]!r}: expected RFC 3339, such as 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def _read(wire: BaseCloudEvent, known: Iterable[str]) -> Event:
    name = wire.get_type()
    moment = wire.get_time()
    for attribute, value in (("id", wire.get_id()), ("source", wire.get_source()), ("type", name)):
        _check_length(attribute, value)
    subject = wire.get_subject() or ""
    _check_length("subject", subject)
    return Event(
        id=wire.get_id(),
        source=wire.get_source(),
        subject=subject,
        data=_data(name, wire) if name in known else Foreign(name, wire.get_data(), wire.get_datacontenttype() or JSON),
        time=None if moment in (None, _NOT_TAKEN_IN) else (moment - _EPOCH) // _MS,
        extensions=_extensions(wire),
    )


def _check_length(attribute: str, value: str) -> None:
    if len(value) > MAX_ATTRIBUTE:
        raise InvalidInput(f"{attribute} has {len(value)} characters: expected at most {MAX_ATTRIBUTE}")


def _extensions(wire: BaseCloudEvent) -> dict[str, str]:
    own = {"id", "source", "type", "specversion", "subject", "time", "datacontenttype", "partitionkey"}
    if wire.get_type() in KINDS:
        own.add("dataschema")  # it follows from the type
    found = {name: value for name, value in wire.get_attributes().items() if name not in own}
    return {name: _attribute(name, value) for name, value in found.items()}


def _attribute(name: str, value: object) -> str:
    """Return a value of the CloudEvents type system as text, as binary mode sends it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise InvalidInput(f"{name} is a JSON {type(value).__name__}: expected a string, an integer or a boolean")


def _data(name: str, wire: BaseCloudEvent) -> Data:
    kind, content = KINDS[name], wire.get_data()
    if isinstance(content, bytes):
        raise WrongContentType(f"the data of {name} are JSON: send the content type {JSON}")
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"the data of {name} do not fit its schema: {error}") from error


def _attributes(event: Event) -> dict[str, Any]:
    name = event.type
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "type": name,
        "source": event.source,
        "id": event.id,
        "time": _NOT_TAKEN_IN if event.time is None else _EPOCH + event.time * _MS,
        "datacontenttype": event.data.media if isinstance(event.data, Foreign) else JSON,
        **event.extensions,
    }
    if name in KINDS:
        attributes["dataschema"] = f"{_SCHEMA_PREFIX}{name.removeprefix(_TYPE_PREFIX)}.json"
    if event.subject:
        attributes["subject"] = attributes["partitionkey"] = event.subject
    return attributes


def _content(data: Data | Foreign) -> Any:  # noqa: ANN401  - the SDK's own type is too narrow: JSON may be any value
    return data.content if isinstance(data, Foreign) else msgspec.to_builtins(data)


def _text(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _flat(error: BaseCloudEventException) -> str:
    return " ".join(str(error).split())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        doubled, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        message = f"the key {doubled[:64]!r} is there twice in one object"
        raise ValueError(message)
    return members


def _no_number(name: str) -> None:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _no_number(text[:64])
    return number


def _integer(text: str) -> int:
    if len(text) > len(str(_INTEGERS.start)) or int(text) not in _INTEGERS:
        message = f"an integer of {len(text)} digits does not fit into 64 bits"
        raise ValueError(message)
    return int(text)


def _refuse_depth(value: object, depth: int) -> None:
    level = [value]
    for _ in range(depth):
        level = [each for parent in level for each in _children(parent) if isinstance(each, dict | list)]
    if level:
        raise InvalidInput(f"the JSON is nested too deep: expected at most {depth} levels")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the JSON has half of a surrogate pair, which is no character") from error
