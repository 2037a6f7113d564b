"""A target and its ReplicaSet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fuseboard.testing import policies

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy

SET = {"metadata": {"uid": "uid-set", "ownerReferences": [{"kind": "Deployment", "name": "login", "controller": True}]}}


def policy(name: str = "login", target: str = "login", kind: str = "Deployment", **spec: Any) -> Policy:  # noqa: ANN401
    """Return a policy of the namespace ``shop`` for a target of this kind."""
    return policies.policy(name, target={"name": target, "kind": kind}, **spec)
