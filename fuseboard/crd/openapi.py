"""Types as structural schemas: OpenAPI in the form that a ``CustomResourceDefinition`` accepts.

msgspec writes JSON Schema. A structural schema has no references and no ``null``, names a type everywhere, and does not
forbid unknown fields, because the API server does so by itself. Descriptions are the docstrings below the fields.
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
    """Return the schema of a type; ``finish`` gets each part with its path, and returns its final form."""
    # Encoding and decoding turns the tuples among the defaults into lists.
    whole = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(kind)))
    return _Inlining(whole["$defs"], sys.modules[kind.__module__], finish).inline("", {"$ref": whole["$ref"]})


class _Inlining:
    """Replaces references by the definitions."""

    def __init__(self, definitions: Mapping[str, Schema], module: ModuleType, finish: Finish) -> None:
        self._definitions = definitions
        self._module = module
        self._finish = finish

    def inline(self, path: str, schema: Schema) -> Schema:
        """Return a part of a schema without references."""
        schema = _without_null(schema)
        name = schema.get("$ref", "").rpartition("/")[2]
        full = {**self._definitions.get(name, {}), **schema}
        inlined = {key: value for key, value in full.items() if key not in _LEFT_OUT}
        if "enum" in inlined:
            kind = getattr(self._module, name)
            inlined |= {"type": "string", "description": _of_values(kind, inlined["description"])}
        if "exclusiveMinimum" in inlined:
            inlined |= {"minimum": inlined["exclusiveMinimum"], "exclusiveMinimum": True}
        if "properties" in inlined:
            inlined["properties"] = dict(self._members(path, name, inlined["properties"]))
            _make_default_short(inlined)
        if "items" in inlined:
            inlined["items"] = self.inline(f"{path}[]", inlined["items"])
        if isinstance(full.get("additionalProperties"), dict):
            inlined["additionalProperties"] = self.inline(f"{path}.*", full["additionalProperties"])
        return self._finish(path, inlined)

    def _members(self, path: str, name: str, members: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
        kind = getattr(self._module, name)
        docs = _documented(kind)
        fields = {each.encode_name: each.name for each in msgspec.structs.fields(kind)}
        for key, schema in members.items():
            member = self.inline(f"{path}.{key}".lstrip("."), schema)
            texts = (docs.get(fields[key], ""), member.get("description", ""))
            yield key, {"description": " ".join(filter(None, texts)), **_without(member, "description")}


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def _without_null(schema: Schema) -> Schema:
    """Return the alternative to ``null``: Kubernetes treats a null field as a missing field."""
    if "anyOf" in schema:
        (schema,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    return schema


def _make_default_short(schema: Schema) -> None:
    """Shorten the default of a whole to ``{}``, because each member has its own default."""
    if not schema.get("required"):
        schema.pop("required", None)
    if "default" in schema:
        schema["default"] = {}


def _of_values(kind: type[Enum], description: str) -> str:
    """Return the description of an enumeration, followed by the descriptions of its values."""
    docs = _documented(kind)
    values = {member.value: docs.get(member.name, "") for member in kind}
    return " ".join([description, *(f"{value}: {doc}" for value, doc in values.items() if doc)])


@cache
def _documented(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a class, from the source of its module."""
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
