"""Messages of validation errors: the field, its value, and the expected value.

msgspec reports the path of an invalid field and its JSON type. The author wrote YAML and needs to know what to write
instead, which follows from the type that msgspec expected.
"""

from __future__ import annotations

import re
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.inspect import (
    DictType,
    EnumType,
    IntType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

if TYPE_CHECKING:
    from msgspec import ValidationError

_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")

_brief: Final = Repr()
_brief.maxstring = _brief.maxother = 80
_brief.maxlevel = 2


class _Place(NamedTuple):
    """A place in a document, its value, and the expected type."""

    path: str
    value: object
    expected: Type | None


def validation_message(error: ValidationError, document: object, kind: type) -> str:
    """Return the message for an error: the path of the field, its value, and the expected value."""
    text, _, path = str(error).partition(" - at `")
    path = path.rpartition("$")[2].rstrip("`")
    missing = re.search(r"(missing required|unknown) field `(.+)`", text)
    if missing:
        field = f"{path}.{missing[2]}".lstrip(".")
        if missing[1] == "unknown":
            return f"{field} is not a field of a {_kind(document)}: remove it, or check its spelling"
        return f"{field} is missing"
    place = _find(_Place("", document, type_info(kind)), path)
    return f"{place.path.lstrip('.') or 'the document'} is {brief_repr(place.value)}: expected {_words(place.expected)}"


def brief_repr(value: object) -> str:
    """Return the ``repr`` of a value, shortened to about a line."""
    return _brief.repr(value)


def _kind(document: object) -> str:
    """Return the kind of a document."""
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else "document of this kind"


def _find(place: _Place, path: str) -> _Place:
    for name, index in _STEP.findall(path):
        place = _member(place, name) if name else _item(place, index)
    return _wrong_key(place)


def _member(place: _Place, name: str) -> _Place:
    expected = _plain(place.expected)
    fields = {each.encode_name: each.type for each in expected.fields} if isinstance(expected, StructType) else {}
    value = place.value.get(name) if isinstance(place.value, dict) else None
    return _Place(f"{place.path}.{name}", value, fields.get(name))


def _item(place: _Place, index: str) -> _Place:
    expected, value = _plain(place.expected), place.value
    if isinstance(expected, VarTupleType) and isinstance(value, list):
        return _Place(f"{place.path}[{index}]", value[int(index)], expected.item_type)
    if isinstance(expected, DictType) and isinstance(value, dict):
        # msgspec does not report the key: find the first value that does not fit.
        wanted = expected.value_type
        key = next((key for key, each in value.items() if not _fits(each, wanted)), "…")
        return _Place(f"{place.path}.{key}", value.get(key), wanted)
    return place


def _wrong_key(place: _Place) -> _Place:
    """Return the first key of a mapping that is no text, if any: YAML reads ``5`` and ``no`` as other types."""
    keys = [key for key in place.value if not isinstance(key, str)] if isinstance(place.value, dict) else []
    return _Place(f"a key of {place.path.lstrip('.') or 'the document'}", keys[0], StrType()) if keys else place


def _fits(value: object, expected: Type) -> bool:
    if isinstance(expected, IntType):
        low, high = expected.ge or 0, expected.le
        return type(value) is int and value >= low and (high is None or value <= high)
    return isinstance(value, str)


def _plain(expected: Type | None) -> Type | None:
    """Return a type without its description and without null."""
    while isinstance(expected, Metadata | UnionType):
        if isinstance(expected, Metadata):
            expected = expected.type
        else:
            expected = next(each for each in expected.types if not isinstance(each, NoneType))
    return expected


def _words(expected: Type | None) -> str:
    """Describe the values of a type."""
    if isinstance(expected, UnionType):
        return _words(next(each for each in expected.types if not isinstance(each, NoneType)))
    if isinstance(expected, Metadata):
        description: str = (expected.extra_json_schema or {}).get("description", "")
        return f"{description[0].lower()}{description[1:]}".rstrip(".") if description else _words(expected.type)
    if isinstance(expected, EnumType):
        return "one of " + ", ".join(str(each.value) for each in expected.cls)
    if isinstance(expected, IntType):
        return _number(expected)
    if isinstance(expected, DictType) and expected.min_length:
        return "a mapping that is not empty"
    words: dict[Any, str] = {StrType: "text", VarTupleType: "a list", DictType: "a mapping", StructType: "a mapping"}
    return words.get(type(expected), "another value")


def _number(expected: IntType) -> str:
    if expected.le is None:
        return f"a whole number of at least {expected.ge}"
    return f"a whole number from {expected.ge} to {expected.le}"
