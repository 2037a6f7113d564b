"""The ``CustomResourceDefinition`` of a CircuitBreaker: the types of policy and status, and the rules of ``rules``.

``validation`` accepts every object that the API server stores under this definition.
"""

from __future__ import annotations

from typing import Final

import msgspec
import yaml

from fuseboard.cluster.names import CIRCUIT_BREAKER, plural
from fuseboard.crd import rules as cel
from fuseboard.crd.openapi import Schema, structural
from fuseboard.crd.status import BreakerStatus
from fuseboard.policy.spec import API_VERSION, KIND, Spec

GROUP, _, VERSION = API_VERSION.partition("/")
PLURAL: Final = plural(CIRCUIT_BREAKER)
FILE: Final = "knative/base/circuitbreakers.yaml"

_HEADER: Final = f"""\
# The breaker table's resource. Generated from the types of fuseboard/policy/spec.py and fuseboard/crd/status.py:
# write it again with `fuseboard schema > {FILE}`.
"""

_COLUMNS: Final = (
    ("State", "string", ".status.state"),
    ("Serving", "string", ".status.serving"),
    ("Ready", "string", ".status.ready"),
    ("Standby", "string", ".status.standby"),
    ("Since", "date", ".status.since"),
    ("Reason", "string", ".status.reason"),
)

_LISTS: Final[dict[str, Schema]] = {
    "dependencies": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    "conditions": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
}
"""Lists with several writers; each writer writes every list besides these as a whole."""

_WHOLE: Final = ("route.selectors.target", "route.selectors.standby")
"""Mappings that are written as a whole, because a part of a selector is another selector."""


def definition() -> Schema:
    """Return the CustomResourceDefinition."""
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower(), "shortNames": ["cb"]}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS],
        "schema": {"openAPIV3Schema": _schema()},
    }
    labels = {"app.kubernetes.io/name": PLURAL, "app.kubernetes.io/part-of": "fuseboard"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": labels},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def as_yaml() -> str:
    """Return the text of ``FILE``."""
    return _HEADER + yaml.dump(definition(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """YAML without anchors: a repeated part is written in full each time."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  - PyYAML's signature
        return True


def _schema() -> Schema:
    return {
        "description": "A row of the breaker table: when the traffic of a workload is moved, and how it returns.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(Spec, _of_spec),
            "status": structural(BreakerStatus, _of_list),
        },
        "x-kubernetes-validations": list(cel.ROOT_RULES),
    }


def _of_spec(path: str, schema: Schema) -> Schema:
    """Add the extensions of Kubernetes and the rules to a part of the spec."""
    rules = [*cel.RULES_BY_PATH.get(path, ()), *_of_type(schema)]
    if path in _WHOLE:
        schema["x-kubernetes-map-type"] = "atomic"
    part = _of_list(path, schema)
    return {**part, "x-kubernetes-validations": rules} if rules else part


def _of_list(path: str, schema: Schema) -> Schema:
    kind = _LISTS.get(path, {"x-kubernetes-list-type": "atomic"})
    return {**schema, **kind} if schema["type"] == "array" else schema


def _of_type(schema: Schema) -> tuple[Schema, ...]:
    bare = {key: value for key, value in schema.items() if key != "default"}
    return next((rules for kind, rules in cel.RULES_BY_TYPE if msgspec.json.schema(kind) == bare), ())
