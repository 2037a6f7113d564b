"""Fuseboard's events as CloudEvents: both modes decide the same, and no input does harm."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard.errors import InvalidInput, WrongContentType
from fuseboard.events.event import JSON, Event, Foreign, digest
from fuseboard.events.json import decode_json
from fuseboard.events.schemas import schema_files
from fuseboard.events.types import (
    BREAKER_EVENTS,
    DATA_TYPES,
    FAILOVER_EVENTS,
    SIGNALS,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerLimited,
    BreakerMoved,
    BreakerOpened,
    Data,
    FailoverCompleted,
    Failure,
    FailureDetected,
    FailureResolved,
    StepDue,
    TimerElapsed,
    type_of,
)
from fuseboard.events.wire import MAX_ATTRIBUTE, STRUCTURED, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

DETECTED = {"failures": [{"key": "k1", "cause": "CrashLoop pod/login-1", "condition": "c1", "severity": "page"}]}
HEADERS = {
    "content-type": JSON,
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/alertmanager",
    "ce-type": "dev.fuseboard.failure.detected",
    "ce-subject": "shop/login",
    "ce-time": "2026-01-31T12:00:00.123Z",
}


def binary(body: bytes | None = None, /, **changed: str | None) -> Event:
    """Decode an event in binary mode, with other headers: ``id="2"`` changes ``ce-id``, None removes it."""
    headers: dict[str, str | None] = {**HEADERS, **{f"ce-{name}": value for name, value in changed.items()}}
    sent = {name: value for name, value in headers.items() if value is not None}
    return decode(sent, json.dumps(DETECTED).encode() if body is None else body, DATA_TYPES)


def structured(raw: bytes | None = None, /, **changed: object) -> Event:
    """Decode an event in structured mode, with other members; None removes one."""
    members: dict[str, object] = {name[3:]: value for name, value in HEADERS.items() if name.startswith("ce-")}
    members |= {"data": DETECTED, **changed}
    body = json.dumps({name: value for name, value in members.items() if value is not None}).encode()
    return decode({"Content-Type": STRUCTURED}, body if raw is None else raw, DATA_TYPES)


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (FailureDetected, "dev.fuseboard.failure.detected"),
        (FailureResolved, "dev.fuseboard.failure.resolved"),
        (TimerElapsed, "dev.fuseboard.timer.elapsed"),
        (BreakerHalfOpened, "dev.fuseboard.breaker.half_opened"),
        (StepDue, "dev.fuseboard.step.due"),
        (FailoverCompleted, "dev.fuseboard.failover.completed"),
    ],
)
def test_a_type_has_the_words_of_its_class(kind: type[Data], name: str) -> None:
    """A class's name is its event's type, so there is one list of words."""
    assert type_of(kind) == name
    assert DATA_TYPES[name] is kind


def test_events_only_go_down() -> None:
    """What one level emits, the levels above it do not consume."""
    assert not SIGNALS & BREAKER_EVENTS
    assert not (SIGNALS | BREAKER_EVENTS) & FAILOVER_EVENTS


def test_a_digest_depends_on_where_its_parts_end() -> None:
    """Parts that read the same when joined have different digests."""
    assert digest("ab", "c") != digest("a", "bc")
    assert len(digest("a")) == 32


def test_the_schemas_are_those_of_the_types() -> None:
    """The files that the package ships say what the types say; ``make schemas`` writes them again."""
    folder = files("fuseboard.events.schemas")
    shipped = {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir() if each.name.endswith(".json")}
    assert shipped == schema_files()


def test_an_event_names_a_schema_that_is_there() -> None:
    """What ``dataschema`` names is the identifier of a schema that the package ships."""
    known = {json.loads(text)["$id"] for text in schema_files().values()}
    assert encode(binary()).headers["ce-dataschema"] in known


# -- both modes ------------------------------------------------------------------------------------------------------


def test_both_modes_say_the_same() -> None:
    """An event is the same one in binary and in structured mode."""
    assert binary() == structured()


def test_what_was_sent_is_read() -> None:
    """Attributes and data of an event arrive as they were meant."""
    event = binary(traceparent="00-1-2-01")
    assert (event.id, event.source, event.subject, event.time) == ("1", "/alertmanager", "shop/login", 1769860800123)
    failure = Failure(key="k1", cause="CrashLoop pod/login-1", condition="c1", severity="page")
    assert event.data == FailureDetected(failures=(failure,))
    assert event.extensions == {"traceparent": "00-1-2-01"}


def test_an_event_needs_no_time() -> None:
    """An event that nobody has taken in yet has no time, and gets none from being read."""
    assert binary(time=None).time is None
    assert structured(time=None).time is None


def test_a_null_attribute_is_absent() -> None:
    """In structured mode an attribute that is null was not sent."""
    members = {**{name[3:]: value for name, value in HEADERS.items() if name.startswith("ce-")}, "region": None}
    assert structured(json.dumps({**members, "data": DETECTED}).encode()).extensions == {}


def test_a_breaker_event_says_whose_it_is() -> None:
    """On the wire an event names its schema, and its partition key is its subject."""
    message = encode(binary())
    assert message.headers["ce-dataschema"] == "https://fuseboard.dev/schemas/failure.detected.json"
    assert message.headers["ce-partitionkey"] == message.headers["ce-subject"] == "shop/login"
    assert message.headers["content-type"] == JSON


def test_base64_data_are_what_they_encode() -> None:
    """JSON data may travel as base64 in structured mode."""
    encoded = base64.b64encode(json.dumps(DETECTED).encode()).decode()
    assert structured(data=None, data_base64=encoded) == structured()


@pytest.mark.parametrize(("sent", "read"), [(True, "true"), (False, "false"), (7, "7"), ("x", "x")])
def test_extensions_have_one_spelling(sent: object, read: str) -> None:
    """An extension's value reads the same in structured mode as its spelling in a header."""
    assert structured(flag=sent).extensions == binary(flag=read).extensions == {"flag": read}


def test_a_reply_follows_from_its_cause() -> None:
    """A reply's id depends on its cause and its step alone, and the trace goes on."""
    cause = binary(traceparent="00-1-2-01", region="eu")
    opened = BreakerOpened(state="OPEN", previous="CLOSED", epoch=1, mode="Observe", since=5, reason="because")
    reply = cause.reply(opened, step="1", time=5)
    assert reply == cause.reply(opened, step="1", time=5)
    assert reply.id != cause.reply(opened, step="2", time=5).id
    assert (reply.subject, reply.time, reply.extensions) == ("shop/login", 5, {"traceparent": "00-1-2-01"})


@pytest.mark.parametrize("kind", [BreakerClosed, BreakerLimited, BreakerOpened, BreakerHalfOpened])
def test_every_transition_travels(kind: type[BreakerMoved]) -> None:
    """An event of every state that is entered can be sent and read in both modes."""
    event = Event(
        id="1", source="/fuseboard", subject="shop/login", time=5, data=kind("OPEN", "CLOSED", 1, "Observe", 5, "why")
    )
    for mode in (False, True):
        message = encode(event, structured=mode)
        assert decode(message.headers, message.body, DATA_TYPES) == event


# -- what is not known stays as it came --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["com.example.unknown", "dev.fuseboard.failure.guessed"])
def test_an_unknown_type_stays_foreign(kind: str) -> None:
    """Data of a type that nobody knows are kept, not judged."""
    assert binary(b'{"a": [1, null]}', type=kind).data == Foreign(kind, {"a": [1, None]})


def test_a_type_that_the_reader_does_not_want_stays_foreign() -> None:
    """A reader looks only into what it consumes, so that the journal keeps what it cannot understand."""
    event = decode(HEADERS, b'{"nonsense": 1}', frozenset({"dev.fuseboard.step.due"}))
    assert event.data == Foreign("dev.fuseboard.failure.detected", {"nonsense": 1})


def test_data_that_are_not_json_stay_bytes() -> None:
    """Foreign data of another media type pass through both modes to the byte."""
    headers = {**HEADERS, "ce-type": "com.example.image", "content-type": "image/png"}
    event = decode(headers, b"\x89PNG\xff", DATA_TYPES)
    assert event.data == Foreign("com.example.image", b"\x89PNG\xff", "image/png")
    for mode in (False, True):
        message = encode(event, structured=mode)
        assert decode(message.headers, message.body, DATA_TYPES) == event


def test_text_is_the_same_in_both_modes() -> None:
    """Text that is not JSON is the same bytes, whichever mode it came in."""
    headers = {**HEADERS, "ce-type": "com.example.note", "content-type": "text/plain"}
    assert decode(headers, b"hi", DATA_TYPES) == structured(
        type="com.example.note", datacontenttype="text/plain", data="hi"
    )


def test_an_event_may_have_no_data() -> None:
    """A foreign event without data is read in both modes."""
    kind = "com.example.ping"
    assert binary(b"", type=kind) == structured(type=kind, data=None)


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"specversion": "0.3"}, id="specversion 0.3"),
        pytest.param({"specversion": None}, id="no specversion"),
        pytest.param({"id": None}, id="no id"),
        pytest.param({"id": ""}, id="empty id"),
        pytest.param({"source": None}, id="no source"),
        pytest.param({"source": ""}, id="empty source"),
        pytest.param({"type": None}, id="no type"),
        pytest.param({"subject": ""}, id="empty subject"),
        pytest.param({"time": ""}, id="empty time"),
        pytest.param({"time": "yesterday"}, id="time in words"),
        pytest.param({"time": "2026-01-31"}, id="a day is no time"),
        pytest.param({"time": "2026-01-31T12:00:00"}, id="time without zone"),
        pytest.param({"time": "2026-13-31T12:00:00Z"}, id="month 13"),
        pytest.param({"time": "2026-01-31T24:00:00Z"}, id="hour 24"),
        pytest.param({"time": "9999-12-31T23:59:59-23:00"}, id="time after the last year"),
        pytest.param({"time": "0001-01-01T00:00:00+23:00"}, id="time before the first year"),
        pytest.param({"id": "x" * (MAX_ATTRIBUTE + 1)}, id="endless id"),
        pytest.param({"source": "x" * (MAX_ATTRIBUTE + 1)}, id="endless source"),
        pytest.param({"subject": "x" * (MAX_ATTRIBUTE + 1)}, id="endless subject"),
    ],
)
def test_bad_attributes_are_refused_in_both_modes(changed: Mapping[str, str | None]) -> None:
    """An event whose attributes are wrong is invalid input, whichever mode it came in."""
    with pytest.raises(InvalidInput):
        binary(None, **changed)
    with pytest.raises(InvalidInput):
        structured(None, **changed)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"specversion": 1.0}, id="specversion as a number"),
        pytest.param({"id": 5}, id="id as a number"),
        pytest.param({"time": 1769860800}, id="time as a number"),
        pytest.param({"datacontenttype": 5}, id="content type as a number"),
        pytest.param({"region": ["eu"]}, id="extension as a list"),
        pytest.param({"region": 1.5}, id="extension as a fraction"),
        pytest.param({"Region": "eu"}, id="extension with a capital"),
        pytest.param({"data_base64": "e30="}, id="data twice"),
        pytest.param({"data": None, "data_base64": "not base64"}, id="not base64"),
        pytest.param({"data": None, "data_base64": "e30"}, id="base64 without its end"),
        pytest.param({"data": None, "data_base64": 5}, id="base64 as a number"),
        pytest.param({"data": None, "data_base64": "/w=="}, id="base64 of what is not JSON"),
    ],
)
def test_bad_members_are_refused(changed: Mapping[str, object]) -> None:
    """A member of another type than CloudEvents has is invalid input."""
    with pytest.raises(InvalidInput):
        structured(None, **changed)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b'{"failures": []}', id="no failures"),
        pytest.param(b'{"failures": [{"cause": "x"}]}', id="no key"),
        pytest.param(b'{"failures": [{"key": "", "cause": "x"}]}', id="empty key"),
        pytest.param(b'{"failures": [{"key": "k", "cause": "x", "startedAt": -1}]}', id="time before 1970"),
        pytest.param(b'{"failures": [{"key": "k", "cause": "x", "startedAt": 99999999999999999}]}', id="far future"),
        pytest.param(b'{"failures": [{"key": "k", "cause": "x", "startedAt": "x"}]}', id="time as text"),
        pytest.param(b'{"failures": [{"key": "k", "cause": "' + b"x" * 321 + b'"}]}', id="endless cause"),
    ],
)
def test_data_that_do_not_fit_their_type_are_refused(data: bytes) -> None:
    """Data of a type that is known must be what the type says."""
    with pytest.raises(InvalidInput):
        binary(data)


@pytest.mark.parametrize(
    ("json_text", "word"),
    [
        pytest.param(b"NaN", "NaN", id="NaN"),
        pytest.param(b"[Infinity]", "Infinity", id="Infinity"),
        pytest.param(b"-Infinity", "Infinity", id="minus Infinity"),
        pytest.param(b"1e999", "1e999", id="infinite by size"),
        pytest.param(b'{"a": 1, "a": 2}', "twice", id="a key twice"),
        pytest.param(b'{"b": {"a": 1, "a": 1}}', "twice", id="a key twice, deeper"),
        pytest.param(b"[" * 100_000, "deep", id="depth 100,000"),
        pytest.param(b"[" * 65 + b"]" * 65, "deep", id="depth 65"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "deep", id="depth 65 in objects"),
        pytest.param(b'"\\ud800"', "surrogate", id="lone surrogate"),
        pytest.param(b'{"\\uDC00": 1}', "surrogate", id="lone surrogate as a key"),
        pytest.param(b'"\xed\xa0\x80"', "utf-8", id="surrogate in UTF-8"),
        pytest.param(b"9" * 5_000, "5000 digits", id="5,000 digits"),
        pytest.param(b"-" + b"9" * 5_000, "digits", id="minus 5,000 digits"),
        pytest.param(b"18446744073709551616", "64 bits", id="2 to the power of 64"),
        pytest.param(b"{'a': 1}", "not JSON", id="Python is not JSON"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="byte order mark"),
    ],
)
def test_json_is_read_strictly(json_text: bytes, word: str) -> None:
    """What Python's reader lets through, and others read as something else, is refused with a reason."""
    with pytest.raises(InvalidInput, match=word):
        decode_json(json_text)


@pytest.mark.parametrize(
    ("json_text", "value"),
    [
        (b"[" * 64 + b"]" * 64, None),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1e308", 1e308),
        (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
    ],
)
def test_json_is_not_read_too_strictly(json_text: bytes, value: object) -> None:
    """What is valid and harmless is accepted, up to the limits."""
    found = decode_json(json_text)
    assert value is None or found == value


def test_both_modes_at_once_are_refused() -> None:
    """Attributes in the headers and in the body contradict each other sooner or later."""
    with pytest.raises(InvalidInput, match="both modes at once"):
        decode({**HEADERS, "content-type": STRUCTURED}, b"{}", DATA_TYPES)


def test_a_repeated_header_is_refused() -> None:
    """Two spellings of one header do not hide one another."""
    with pytest.raises(InvalidInput, match="twice"):
        decode({**HEADERS, "Ce-Id": "2"}, b"{}", DATA_TYPES)


def test_a_repeated_attribute_is_refused() -> None:
    """In structured mode an attribute that is there twice is refused."""
    with pytest.raises(InvalidInput, match="'id' appears twice"):
        structured(b'{"specversion": "1.0", "id": "1", "id": "2", "source": "/s", "type": "x"}')


@pytest.mark.parametrize("value", ["%FF", "%ED%A0%80", "%C3", "\ud800"])
def test_a_header_that_is_not_utf_8_is_refused(value: str) -> None:
    """Percent-encoding of bytes that are no characters is refused, not replaced."""
    with pytest.raises(InvalidInput):
        binary(source=value)


@pytest.mark.parametrize(("value", "read"), [("%C3%BC", "ü"), ("%F0%9F%98%80", "😀"), ("a%20b%22%25", 'a b"%')])
def test_percent_encoding_is_read(value: str, read: str) -> None:
    """Characters beyond ASCII travel percent-encoded in a header."""
    assert binary(source=value).source == read


@pytest.mark.parametrize(
    "media", ["", "text/html", "application/cloudevents-batch+json", "application/cloudevents+xml"]
)
def test_what_is_in_neither_mode_is_of_the_wrong_type(media: str) -> None:
    """A request that is no CloudEvent at all is told which content type to send."""
    with pytest.raises(WrongContentType, match="application/cloudevents"):
        decode({"content-type": media}, b"{}", DATA_TYPES)


def test_known_data_that_are_not_json_are_of_the_wrong_type() -> None:
    """A signal in another media type is told to come as JSON."""
    with pytest.raises(WrongContentType, match=JSON):
        decode({**HEADERS, "content-type": "text/plain"}, b"{}", DATA_TYPES)


def test_a_field_of_an_older_version_is_ignored() -> None:
    """Failures once had a summary: an event that still carries one is taken in without it."""
    old = b'{"failures":[{"key":"k","cause":"Down Deployment/login","summary":"Login is down."}]}'
    headers = HEADERS | {"ce-type": type_of(FailureDetected)}

    event = decode({**headers, "content-type": JSON}, old, DATA_TYPES)

    assert event.data == FailureDetected((Failure("k", "Down Deployment/login"),))


# -- for any input ---------------------------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8"), max_size=40)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
moments = st.integers(0, 253_402_300_799_999)
failures = st.builds(Failure, key=names, cause=names, condition=text, severity=text, started_at=moments)
told = st.lists(failures, min_size=1, max_size=3).map(tuple)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
any_json = st.recursive(
    scalars | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
data = st.one_of(
    st.builds(FailureDetected, failures=told),
    st.builds(FailureResolved, failures=told),
    st.builds(TimerElapsed, due_at=moments),
    st.builds(Foreign, st.just("com.example.any"), any_json),
    st.builds(Foreign, st.just("com.example.any"), st.binary(max_size=40), st.just("application/octet-stream")),
)
events = st.builds(
    Event,
    id=names,
    source=names,
    subject=text,
    data=data,
    time=st.none() | moments,
    extensions=st.dictionaries(st.just("traceparent"), names),
)


@given(events, st.booleans())
def test_what_is_encoded_is_decoded(event: Event, mode: bool) -> None:  # noqa: FBT001  - hypothesis gives it
    """Decoding undoes encoding, in both modes and for any content."""
    message = encode(event, structured=mode)
    assert all(value.isascii() for value in message.headers.values())
    assert decode(message.headers, message.body, DATA_TYPES) == event


@given(st.dictionaries(st.sampled_from([*HEADERS, "host"]), st.text(max_size=20)), st.binary(max_size=60))
def test_no_headers_do_harm(headers: dict[str, str], body: bytes) -> None:
    """Whatever headers and bytes come in, they are an event or invalid input, and nothing else is raised."""
    refused_or_read({**HEADERS, **headers}, body)
    refused_or_read(headers, body)


@given(st.binary(max_size=80) | any_json.map(lambda value: json.dumps(value).encode()))
def test_no_body_does_harm(body: bytes) -> None:
    """Whatever the body, in structured mode it is an event or invalid input, and nothing else is raised."""
    refused_or_read({"content-type": STRUCTURED}, body)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([*(name[3:] for name in HEADERS), "data", "data_base64", "x"]), any_json))
def test_no_member_does_harm(members: dict[str, Any]) -> None:
    """Whatever JSON stands for an attribute or the data, it is an event or invalid input."""
    whole = {name[3:]: value for name, value in HEADERS.items() if name.startswith("ce-")}
    refused_or_read({"content-type": STRUCTURED}, json.dumps({**whole, "data": DETECTED, **members}).encode())


def refused_or_read(headers: Mapping[str, str], body: bytes) -> None:
    """Decode; what can be read can also be written again, in both modes."""
    try:
        event = decode(headers, body, DATA_TYPES)
    except InvalidInput:
        return
    for mode in (False, True):
        encode(event, structured=mode)
