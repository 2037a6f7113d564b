"""The JSON schemas of event data, a file per type, generated from the types; ``dataschema`` refers to them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from fuseboard.events.types import DATA_TYPES, SCHEMA_PREFIX, TYPE_PREFIX, Data, type_of


def schema(kind: type[Data]) -> dict[str, Any]:
    """Return the JSON Schema of a type's data."""
    name = type_of(kind).removeprefix(TYPE_PREFIX)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{SCHEMA_PREFIX}{name}.json",
        **msgspec.json.schema(kind),
    }


def schema_files() -> dict[str, str]:
    """Return the schemas of all types by the name of the file that the package ships."""
    return {
        f"{name.removeprefix(TYPE_PREFIX)}.json": json.dumps(schema(kind), indent=2) + "\n"
        for name, kind in DATA_TYPES.items()
    }
