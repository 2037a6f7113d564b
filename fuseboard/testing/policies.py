"""Policies for tests: valid CircuitBreaker documents with the parts that a test is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fuseboard.policy.spec import API_VERSION, KIND
from fuseboard.policy.validation import parse_document

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy


def document(name: str = "login", namespace: str = "shop", /, **spec: Any) -> dict[str, Any]:  # noqa: ANN401  - parts of a spec
    """Return a CircuitBreaker document; the target is the Deployment of the same name unless ``spec`` names another."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"target": {"name": name}, **spec},
    }


def policy(name: str = "login", namespace: str = "shop", /, **spec: Any) -> Policy:  # noqa: ANN401  - parts of a spec
    """Return the policy of ``document(…)``, checked as users' documents are."""
    return parse_document(document(name, namespace, **spec), "a test")


def movable(name: str = "login", namespace: str = "shop", /, **spec: Any) -> Policy:  # noqa: ANN401  - parts of a spec
    """Return a policy in mode Enforce with a standby, a Service as its route, and a selector for each of the two."""
    selectors = {role: {"app": name, "track": role} for role in ("target", "standby")}
    parts = {
        "mode": "Enforce",
        "standby": {"name": f"{name}-standby"},
        "route": {"name": name, "selectors": selectors},
    }
    return policy(name, namespace, **(parts | spec))
