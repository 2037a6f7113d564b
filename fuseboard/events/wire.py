"""Events as HTTP messages: CloudEvents 1.0 in binary and structured mode.

The bindings and their validation are those of the CloudEvents SDK (``cloudevents.core``); only JSON is read more
strictly (``events.json``). ``partitionkey`` equals ``subject``, the key of the breaker.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
from cloudevents.core.bindings import http
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.base import Format
from cloudevents.core.v1.event import CloudEvent

from fuseboard.errors import InvalidInput, WrongContentType
from fuseboard.events.event import JSON, Event, Foreign
from fuseboard.events.json import MAX_DEPTH, decode_json, encode_data
from fuseboard.events.types import ANY, DATA_TYPES, SCHEMA_PREFIX, TYPE_PREFIX, Data
from fuseboard.times import to_datetime, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudevents.core.base import BaseCloudEvent, EventFactory

STRUCTURED: Final = "application/cloudevents+json"

MAX_EVENT_BYTES: Final = 256 * 1024

MAX_ATTRIBUTE: Final = 1_024
"""Characters in an id, a source, a subject or a type: the store keeps them, and their length must have a limit."""

_JSON_MEDIA: Final = re.compile(r"^(application|text)/([\w.-]+\+)?json\s*(;.*)?$", re.ASCII | re.IGNORECASE)

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)

_NO_TIME: Final = datetime.max.replace(tzinfo=UTC)
"""Stands for a missing time: without it, the SDK would insert the time of its own clock."""


def encode(event: Event, *, structured: bool = False) -> http.HTTPMessage:
    """Write an event as an HTTP message in binary mode, or in structured mode."""
    wire = CloudEvent(_attributes(event), _content(event.data))
    if structured:
        return http.to_structured(wire, _STRICT)
    message = http.to_binary(wire, _STRICT)
    if event.time is None:
        del message.headers["ce-time"]
    return message


def decode(headers: Mapping[str, str], body: bytes, known: Iterable[str] = ANY) -> Event:
    """Read an event in either mode; data of a type outside ``known`` stays undecoded.

    Raises:
        InvalidInput: the message is not a CloudEvent 1.0, or the data do not fit the schema of their type.
        WrongContentType: the message has neither mode, or the data are not JSON.

    """
    lower = {name.lower(): value for name, value in headers.items()}
    if len(lower) < len(headers):
        raise InvalidInput("a header appears twice, in upper and lower case: send the header once")
    media = lower.get("content-type", "")
    binary = {name: value for name, value in lower.items() if name.startswith("ce-")}
    structured = media.partition(";")[0].strip().lower() == STRUCTURED
    if structured and binary:
        names = ", ".join(sorted(binary))
        raise InvalidInput(f"both modes at once: the content type {STRUCTURED} and the headers {names}: choose one")
    if not structured and not binary:
        raise WrongContentType(
            f"not a CloudEvent: send its attributes as ce-* headers, or the content type {STRUCTURED}"
        )
    try:
        if structured:
            wire = http.from_structured(http.HTTPMessage(lower, body), _STRICT, _as_sent)
        else:
            _check_headers(binary)
            message = http.HTTPMessage({**binary, "content-type": media or JSON}, body)
            wire = http.from_binary(message, _STRICT, _as_sent)
    except BaseCloudEventException as error:
        raise InvalidInput(f"not a CloudEvent 1.0: {_flat(error)}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"not a CloudEvent 1.0: {error}") from error
    return _read(wire, known)


class _StrictJSON(Format):
    """The JSON event format (CloudEvents JSON format 1.0), read strictly."""

    def read(self, event_factory: EventFactory | None, data: str | bytes) -> BaseCloudEvent:
        # The envelope adds a level: data may be equally deep in both modes.
        members = decode_json(data if isinstance(data, bytes) else data.encode(), MAX_DEPTH + 1)
        if not isinstance(members, dict):
            raise InvalidInput("a CloudEvent in structured mode is a JSON object")
        attributes = {name: value for name, value in members.items() if value is not None}
        content = _content_of(attributes, attributes.pop("data", None), attributes.pop("data_base64", None))
        if "time" in attributes:
            attributes["time"] = _parse_time(attributes["time"])
        return (event_factory or CloudEvent)(attributes, content)

    def write(self, event: BaseCloudEvent) -> bytes:
        members = {name: _text(value) for name, value in event.get_attributes().items() if value is not _NO_TIME}
        content = event.get_data()
        # msgspec writes bytes as base64 (RFC 4648), as the format requires.
        return encode_data({**members, "data_base64" if isinstance(content, bytes) else "data": content})

    def write_data(self, data: dict[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:
        del datacontenttype  # all data but JSON are bytes
        return data if isinstance(data, bytes) else encode_data(data)

    def read_data(self, body: bytes, datacontenttype: str | None) -> dict[str, Any] | str | bytes | None:
        if not _JSON_MEDIA.match(datacontenttype or JSON):
            return body
        return decode_json(body) if body else None

    def get_content_type(self) -> str:
        return STRUCTURED


_STRICT: Final = _StrictJSON()


def _as_sent(attributes: dict[str, Any], data: Any) -> CloudEvent:  # noqa: ANN401  - as the SDK's factories
    # The SDK fills missing attributes with an id, its version and its clock. Keep missing attributes missing.
    return CloudEvent({"id": "", "specversion": "", "time": _NO_TIME, **attributes}, data)


def _content_of(attributes: Mapping[str, Any], data: object, encoded: object) -> Any:  # noqa: ANN401  - any JSON
    """Return the data of an event in structured mode as binary mode would read them."""
    media = str(attributes.get("datacontenttype", JSON))
    if encoded is not None:
        if data is not None:
            raise InvalidInput("an event has data or data_base64, not both")
        return _STRICT.read_data(base64.b64decode(encoded, validate=True), media)  # type: ignore[arg-type]
    if data is None or _JSON_MEDIA.match(media):
        return data
    return data.encode() if isinstance(data, str) else encode_data(data)


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse values that the SDK would misread: bytes other than UTF-8, a time other than RFC 3339."""
    for name, value in headers.items():
        text = unquote(value, errors="strict")
        text.encode()
        if name == "ce-time":
            _parse_time(text)


def _parse_time(text: str) -> datetime:
    if not _RFC_3339.fullmatch(text):
        message = f"time is {text[:64]!r}: expected RFC 3339, such as 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def _read(wire: BaseCloudEvent, known: Iterable[str]) -> Event:
    name = wire.get_type()
    time = wire.get_time()
    for attribute, value in (("id", wire.get_id()), ("source", wire.get_source()), ("type", name)):
        _check_length(attribute, value)
    subject = wire.get_subject() or ""
    _check_length("subject", subject)
    return Event(
        id=wire.get_id(),
        source=wire.get_source(),
        subject=subject,
        data=_data(name, wire) if name in known else Foreign(name, wire.get_data(), wire.get_datacontenttype() or JSON),
        time=None if time in (None, _NO_TIME) else to_timestamp(time),
        extensions=_extensions(wire),
    )


def _check_length(attribute: str, value: str) -> None:
    if len(value) > MAX_ATTRIBUTE:
        raise InvalidInput(f"{attribute} has {len(value)} characters: expected at most {MAX_ATTRIBUTE}")


def _extensions(wire: BaseCloudEvent) -> dict[str, str]:
    own = {"id", "source", "type", "specversion", "subject", "time", "datacontenttype", "partitionkey"}
    if wire.get_type() in DATA_TYPES:
        own.add("dataschema")  # the encoder derives the schema from the type
    extensions = {name: value for name, value in wire.get_attributes().items() if name not in own}
    return {name: _attribute(name, value) for name, value in extensions.items()}


def _attribute(name: str, value: object) -> str:
    """Return a value of the CloudEvents type system as text, as binary mode sends it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise InvalidInput(f"{name} is a JSON {type(value).__name__}: expected a string, an integer or a boolean")


def _data(name: str, wire: BaseCloudEvent) -> Data:
    kind, content = DATA_TYPES[name], wire.get_data()
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
        "time": _NO_TIME if event.time is None else to_datetime(event.time),
        "datacontenttype": event.data.media if isinstance(event.data, Foreign) else JSON,
        **event.extensions,
    }
    if name in DATA_TYPES:
        attributes["dataschema"] = f"{SCHEMA_PREFIX}{name.removeprefix(TYPE_PREFIX)}.json"
    if event.subject:
        attributes["subject"] = attributes["partitionkey"] = event.subject
    return attributes


def _content(data: Data | Foreign) -> Any:  # noqa: ANN401  - the SDK's own type is too narrow: JSON may be any value
    return data.content if isinstance(data, Foreign) else msgspec.to_builtins(data)


def _text(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _flat(error: BaseCloudEventException) -> str:
    return " ".join(str(error).split())
