"""Structural schemas of types that are made for it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from fuseboard.crd.openapi import structural

if TYPE_CHECKING:
    from fuseboard.crd.openapi import Schema

Length = Annotated[int, Meta(ge=1, description="In metres.")]


class Colour(StrEnum):
    """What it looks like."""

    RED = "Red"
    """As a tomato."""
    BLUE = "Blue"


class Tail(Struct, frozen=True, forbid_unknown_fields=True):  # noqa: D101  - what has no text
    long: Length = 1
    """How long it is."""
    colour: Colour | None = None


class Cat(Struct, forbid_unknown_fields=True):
    """An animal."""

    name: str
    tail: Tail = Tail()
    """What ``it`` wags."""
    friends: dict[str, Tail] = {}


def plain(_: str, schema: Schema) -> Schema:
    """Leave a part as it is."""
    return schema


def test_definitions_stand_where_they_are_referred_to() -> None:
    """References, null, titles and the refusal of other fields are gone; what they stood for is there."""
    assert structural(Cat, plain) == {
        "description": "An animal.",
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": ""},
            "tail": {
                "description": "What 'it' wags.",
                "type": "object",
                "properties": {
                    "long": {
                        "description": "How long it is. In metres.",
                        "type": "integer",
                        "minimum": 1,
                        "default": 1,
                    },
                    "colour": {
                        "description": "What it looks like. Red: As a tomato.",
                        "enum": ["Blue", "Red"],
                        "type": "string",
                    },
                },
                "default": {},
            },
            "friends": structural(Cat, plain)["properties"]["friends"],
        },
        "required": ["name"],
    }


def test_mappings_say_what_they_hold() -> None:
    """The values of a mapping have their own schema, in its place."""
    friends = structural(Cat, plain)["properties"]["friends"]

    assert friends["additionalProperties"]["properties"]["long"]["minimum"] == 1
    assert friends["default"] == {}


def test_each_part_is_finished_with_its_path() -> None:
    """Whoever adds to the schema is told where."""
    paths = []

    def noted(path: str, schema: Schema) -> Schema:
        paths.append(path)
        return schema

    structural(Cat, noted)
    assert set(paths) == {
        "",
        "name",
        "tail",
        "tail.long",
        "tail.colour",
        "friends",
        "friends.*",
        "friends.*.long",
        "friends.*.colour",
    }
