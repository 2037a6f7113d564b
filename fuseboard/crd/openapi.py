"""Types as structural schemas: OpenAPI as a ``CustomResourceDefinition`` may have it.

msgspec writes JSON Schema. A structural schema has no references, no ``null``, a type at every place, and does not say
that other fields are refused: the API server does that by itself. What a field means stands below it in the source.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from enum import Enum
    from types import ModuleType

    Finish: TypeAlias = Callable[[str, "Schema"], "Schema"]

Schema: TypeAlias = dict[str, Any]

_LEFT_OUT: Final = ("$ref", "$defs", "title", "anyOf", "additionalProperties", "propertyNames")


def structural(kind: type, finish: Finish) -> Schema:
    """Return the schema of a type; ``finish`` is given each part of it with its path, and returns it as it shall be."""
    whole = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(kind)))  # else defaults are tuples
    return _Inlining(whole["$defs"], sys.modules[kind.__module__], finish).inline("", {"$ref": whole["$ref"]})


class _Inlining:
    """Puts definitions where they are referred to."""

    def __init__(self, definitions: Mapping[str, Schema], module: ModuleType, finish: Finish) -> None:
        self._definitions = definitions
        self._module = module
        self._finish = finish

    def inline(self, path: str, schema: Schema) -> Schema:
        """Return a part of a schema without references."""
        schema = _without_null(schema)
        name = schema.get("$ref", "").rpartition("/")[2]
        full = {**self._definitions.get(name, {}), **schema}
        found = {key: value for key, value in full.items() if key not in _LEFT_OUT}
        if "enum" in found:
            kind = getattr(self._module, name)
            found |= {"type": "string", "description": _of_values(kind, found["description"])}
        if "exclusiveMinimum" in found:
            found |= {"minimum": found["exclusiveMinimum"], "exclusiveMinimum": True}
        if "properties" in found:
            found["properties"] = dict(self._members(path, name, found["properties"]))
            _make_default_short(found)
        if "items" in found:
            found["items"] = self.inline(f"{path}[]", found["items"])
        if isinstance(full.get("additionalProperties"), dict):
            found["additionalProperties"] = self.inline(f"{path}.*", full["additionalProperties"])
        return self._finish(path, found)

    def _members(self, path: str, name: str, members: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
        kind = getattr(self._module, name)
        docs = _documented(kind)
        fields = {each.encode_name: each.name for each in msgspec.structs.fields(kind)}
        for key, schema in members.items():
            member = self.inline(f"{path}.{key}".lstrip("."), schema)
            said = (docs.get(fields[key], ""), member.get("description", ""))
            yield key, {"description": " ".join(filter(None, said)), **_without(member, "description")}


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def _without_null(schema: Schema) -> Schema:
    """Return what else may stand where ``null`` may: in Kubernetes a field that is null is one that is not there."""
    if "anyOf" in schema:
        (schema,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    return schema


def _make_default_short(schema: Schema) -> None:
    """Let each member say its own default, where the whole has one."""
    if not schema.get("required"):
        schema.pop("required", None)
    if "default" in schema:
        schema["default"] = {}


def _of_values(kind: type[Enum], description: str) -> str:
    """Return the description of an enumeration with that of each value."""
    docs = _documented(kind)
    values = {member.value: docs.get(member.name, "") for member in kind}
    return " ".join([description, *(f"{value}: {doc}" for value, doc in values.items() if doc)])


@cache
def _documented(kind: type) -> dict[str, str]:
    """Return the text below each field of a class, from the module that defines the class."""
    tree = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    return dict(
        _below(next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == kind.__name__))
    )


def _below(kind: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, following in zip(kind.body, kind.body[1:], strict=False):
        match field, following:
            case (
                ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]),
                ast.Expr(ast.Constant(str(text))),
            ):
                yield name, text.replace("``", "'")
