"""The CustomResourceDefinition is what the types say, and what a structural schema may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
import re2
import yaml

from fuseboard.crd import definition as crd
from fuseboard.crd.status import BreakerStatus
from fuseboard.policy.spec import Spec
from fuseboard.policy.validation import parse_document

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
DEFINITION: Final = crd.definition()
(VERSION,) = DEFINITION["spec"]["versions"]
SCHEMA: Final = VERSION["schema"]["openAPIV3Schema"]
RULE: Final = "x-kubernetes-validations"


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each part of a schema with its path."""
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from parts(member, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if key in schema:
            yield from parts(schema[key], f"{path}{mark}")


PARTS: Final = dict(parts(SCHEMA))


def defaulted(schema: dict[str, Any], value: Any) -> Any:  # noqa: ANN401  - JSON
    """Return a value with its defaults, as the API server stores it."""
    if not isinstance(value, dict):
        return value
    members = schema.get("properties", {})
    given = {name: value.get(name, member.get("default")) for name, member in members.items()}
    return {name: defaulted(members[name], each) for name, each in given.items() if each is not None}


def test_the_file_is_the_generated_one() -> None:
    """What is applied to a cluster is what the types say today: else run ``fuseboard schema`` again."""
    assert (ROOT / crd.FILE).read_text(encoding="utf-8") == crd.as_yaml()
    assert yaml.safe_load(crd.as_yaml()) == DEFINITION


def test_it_has_the_names_and_columns_that_people_type_and_read() -> None:
    """``kubectl get cb`` shows six columns, of a resource of a namespace with a status of its own."""
    assert DEFINITION["metadata"]["name"] == "circuitbreakers.fuseboard.dev"
    assert DEFINITION["spec"]["names"]["shortNames"] == ["cb"]
    assert DEFINITION["spec"]["scope"] == "Namespaced"
    assert VERSION["subresources"] == {"status": {}}
    columns = VERSION["additionalPrinterColumns"]
    assert [each["name"] for each in columns] == ["State", "Serving", "Ready", "Standby", "Since", "Reason"]
    assert {each["jsonPath"].rpartition(".")[2] for each in columns} <= set(
        SCHEMA["properties"]["status"]["properties"]
    )


@pytest.mark.parametrize("path", PARTS)
def test_the_schema_is_structural(path: str) -> None:
    """Each part has one type, and nothing that the API server does not take in a structural schema."""
    part = PARTS[path]

    assert isinstance(part["type"], str)
    assert not {"$ref", "$defs", "anyOf", "oneOf", "title"} & set(part)
    assert part.get("additionalProperties") is not False
    assert "default" not in part or part["default"] is not None


def test_every_field_says_what_it_is() -> None:
    """``kubectl explain`` has a sentence for each field of spec and status."""
    silent = [
        path
        for path, part in PARTS.items()
        if path.startswith((".spec.", ".status.")) and path[-1] not in "]*" and not part.get("description")
    ]

    assert silent == []


def test_patterns_are_anchored_and_re2() -> None:
    """The API server searches for a pattern, with RE2: each says where it begins and ends."""
    patterns = [part["pattern"] for part in PARTS.values() if "pattern" in part]

    assert patterns
    for pattern in patterns:
        assert (pattern[0], pattern[-1]) == ("^", "$")
        re2.compile(pattern)


def test_each_rule_has_a_sentence() -> None:
    """No rule leaves its reader with the expression alone."""
    rules = [rule for part in PARTS.values() for rule in part.get(RULE, ())]

    assert len(rules) > 10
    assert all(("message" in rule) != ("messageExpression" in rule) for rule in rules)


def test_the_stored_object_shows_all_defaults() -> None:
    """What the API server makes of the shortest breaker is what the policy's types make of it."""
    spec = {"target": {"name": "login"}}
    head = {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": {"name": "login"}}
    stored = defaulted(SCHEMA["properties"]["spec"], spec)

    assert parse_document({**head, "spec": stored}, "") == parse_document({**head, "spec": spec}, "")
    for part in ("signals", "trip", "criticality", "recover"):
        assert stored[part]
    assert stored["trip"]["classes"] == dict.fromkeys(("runtime", "configuration", "network", "node"), "Open")


def test_every_bound_of_the_types_is_in_the_schema() -> None:
    """Fields, enumerations and the least and most of numbers are those of the policy."""
    definitions = msgspec.json.schema(Spec)["$defs"]
    trip = PARTS[".spec.trip"]["properties"]

    assert set(PARTS[".spec"]["properties"]) == set(definitions["Spec"]["properties"])
    assert set(PARTS[".status"]["properties"]) == {each.encode_name for each in msgspec.structs.fields(BreakerStatus)}
    assert (trip["limitAt"]["minimum"], trip["limitAt"]["maximum"]) == (1, 1_000_000)
    assert PARTS[".spec.mode"]["enum"] == definitions["Mode"]["enum"]
    assert (PARTS[".spec.target.capacity"]["minimum"], PARTS[".spec.target.capacity"]["exclusiveMinimum"]) == (0, True)
    assert PARTS[".spec"]["required"] == ["target"]


def test_conditions_are_as_kubernetes_has_them() -> None:
    """One condition of each type, with what ``kubectl wait --for=condition`` needs."""
    conditions = PARTS[".status.conditions"]

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) == {"type", "status", "lastTransitionTime", "reason", "message"}
    assert PARTS[".status.since"]["format"] == "date-time"
    assert PARTS[".status.epoch"]["format"] == "int64"
