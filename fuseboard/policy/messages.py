"""What is wrong with a document, in the words of its reader: the field, its value, and what was expected there.

msgspec says where a document does not fit its type and which JSON type it met. Its reader wrote YAML, and wants to know
what to write instead: that follows from the type.
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


class _Found(NamedTuple):
    """A place in a document, what stands there, and what should."""

    path: str
    value: object
    expected: Type | None


def validation_message(error: ValidationError, document: object, kind: type) -> str:
    """Say which field of the document has which value, and what was expected."""
    told, _, place = str(error).partition(" - at `")
    place = place.rpartition("$")[2].rstrip("`")
    missing = re.search(r"(missing required|unknown) field `(.+)`", told)
    if missing:
        field = f"{place}.{missing[2]}".lstrip(".")
        if missing[1] == "unknown":
            return f"{field} is not a field of a {kind_name(document)}: remove it, or check its spelling"
        return f"{field} is missing"
    found = _find(_Found("", document, type_info(kind)), place)
    return f"{found.path.lstrip('.') or 'the document'} is {brief_repr(found.value)}: expected {_words(found.expected)}"


def brief_repr(value: object) -> str:
    """Return a value as a message shows it: not longer than a line, however large it is."""
    return _brief.repr(value)


def kind_name(document: object) -> str:
    """Return what a document says it is."""
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else "document of this kind"


def _find(found: _Found, place: str) -> _Found:
    for name, index in _STEP.findall(place):
        found = _member(found, name) if name else _item(found, index)
    return _wrong_key(found)


def _member(found: _Found, name: str) -> _Found:
    expected = _plain(found.expected)
    fields = {each.encode_name: each.type for each in expected.fields} if isinstance(expected, StructType) else {}
    value = found.value.get(name) if isinstance(found.value, dict) else None
    return _Found(f"{found.path}.{name}", value, fields.get(name))


def _item(found: _Found, index: str) -> _Found:
    expected, value = _plain(found.expected), found.value
    if isinstance(expected, VarTupleType) and isinstance(value, list):
        return _Found(f"{found.path}[{index}]", value[int(index)], expected.item_type)
    if isinstance(expected, DictType) and isinstance(value, dict):
        # msgspec does not say which: it is the first that does not fit.
        wanted = expected.value_type
        key = next((key for key, each in value.items() if not _fits(each, wanted)), "…")
        return _Found(f"{found.path}.{key}", value.get(key), wanted)
    return found


def _wrong_key(found: _Found) -> _Found:
    """Return the key of a mapping that is no text, if that is what is wrong: YAML reads ``5`` and ``no`` as others."""
    keys = [key for key in found.value if not isinstance(key, str)] if isinstance(found.value, dict) else []
    return _Found(f"a key of {found.path.lstrip('.') or 'the document'}", keys[0], StrType()) if keys else found


def _fits(value: object, expected: Type) -> bool:
    if isinstance(expected, IntType):
        low, high = expected.ge or 0, expected.le
        return type(value) is int and value >= low and (high is None or value <= high)
    return isinstance(value, str)


def _plain(expected: Type | None) -> Type | None:
    """Return a type without what may stand around it: ``or null``, a description."""
    while isinstance(expected, Metadata | UnionType):
        if isinstance(expected, Metadata):
            expected = expected.type
        else:
            expected = next(each for each in expected.types if not isinstance(each, NoneType))
    return expected


def _words(expected: Type | None) -> str:
    """Say what a type expects."""
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
    return words.get(type(expected), "something else")


def _number(expected: IntType) -> str:
    if expected.le is None:
        return f"a whole number of at least {expected.ge}"
    return f"a whole number from {expected.ge} to {expected.le}"
