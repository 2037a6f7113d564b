"""Deployments, StatefulSets, pods and CircuitBreakers as the API server returns them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

Manifest = dict[str, Any]

MADE: Final = 1_700_000_000_000
"""Creation time of all objects, in milliseconds since 1970."""

SPEC: Final[dict[str, Any]] = {"target": {"name": "login"}}
"""The smallest valid spec of a CircuitBreaker."""


def stamp(after_s: float = 0, since: int = MADE) -> str:
    """Return a time as Kubernetes writes it."""
    return datetime.fromtimestamp(since / 1000 + after_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str = "True", reason: str = "", after_s: float = 1, since: int = MADE) -> Manifest:
    """Return a condition that changed ``turned_s`` seconds after ``MADE``."""
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": stamp(after_s, since)}


def deployment(
    desired: int | None = 3,
    /,
    *,
    name: str = "login",
    conditions: tuple[Manifest, ...] | None = None,
    **changes: Any,  # noqa: ANN401
) -> Manifest:
    """Return a complete Deployment; ``changes`` apply to its status, or with ``spec_`` or ``meta_`` to these."""
    count = 1 if desired is None else desired
    done = (condition("Available"), condition("Progressing", reason="NewReplicaSetAvailable"))
    status = {
        "observedGeneration": 1,
        "replicas": count,
        "updatedReplicas": count,
        "availableReplicas": count,
        "readyReplicas": count,
        "conditions": list(done if conditions is None else conditions),
    }
    return workload(name, desired, status, changes)


def stateful_set(desired: int | None = 3, /, *, name: str = "login", **changes: Any) -> Manifest:  # noqa: ANN401
    """Return a complete StatefulSet; ``changes`` as in ``deployment``."""
    count = 1 if desired is None else desired
    status = {
        "observedGeneration": 1,
        "replicas": count,
        "updatedReplicas": count,
        "readyReplicas": count,
        "currentRevision": "login-a",
        "updateRevision": "login-a",
    }
    return workload(name, desired, status, changes)


def workload(name: str, replicas: int | None, status: Manifest, changes: Manifest) -> Manifest:
    """Return a workload with changes of its parts."""
    parts: dict[str, Manifest] = {"spec": {}, "meta": {}, "status": {}}
    for key, value in changes.items():
        part, _, field = key.partition("_")
        parts[part if field else "status"][field or key] = value
    template = {"spec": {"containers": [{"name": "app", "image": "v1"}]}}
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "7"}
    spec = {"template": template, "replicas": replicas} if replicas is not None else {"template": template}
    return {
        "metadata": meta | {"creationTimestamp": stamp()} | parts["meta"],
        "spec": spec | parts["spec"],
        "status": status | parts["status"],
    }


def container(name: str = "app", restarts: int = 0, **states: Any) -> Manifest:  # noqa: ANN401
    """Return a container's status: ``running``, ``waiting=REASON``, ``ended=…`` now, ``last=…`` before."""
    state: Manifest = {"running": {}}
    if "waiting" in states:
        state = {"waiting": {"reason": states["waiting"]}}
    if "ended" in states:
        state = {"terminated": states["ended"]}
    last = {"lastState": {"terminated": states["last"]}} if "last" in states else {}
    return {"name": name, "restartCount": restarts, "state": state, **last}


def end(reason: str = "OOMKilled", code: int = 137, after_s: float = 50) -> Manifest:
    """Return the terminated state of a container."""
    return {"reason": reason, "exitCode": code, "finishedAt": stamp(after_s)}


def pod(  # noqa: PLR0913  - each is a field of a pod
    name: str = "a",
    *,
    ready: bool = True,
    turned_s: float = 10,
    leaving: bool = False,
    disrupted_s: float | None = None,
    containers: tuple[Manifest, ...] = (),
    owner: tuple[str, str, str] = ("ReplicaSet", "login-7d9c5b8f6d", "uid-set"),
    since: int = MADE,
    **status: Any,  # noqa: ANN401
) -> Manifest:
    """Return a pod of the Deployment ``login``, started 1 s after ``MADE``."""
    kind, owner_name, uid = owner
    conditions = [condition("Ready", str(ready), after_s=turned_s, since=since)]
    if disrupted_s is not None:
        conditions.append(condition("DisruptionTarget", reason="EvictionByEvictionAPI", after_s=disrupted_s))
    references = [{"kind": kind, "name": owner_name, "uid": uid, "controller": True}] if kind else []
    meta: Manifest = {"uid": f"uid-{name}", "name": name, "namespace": "shop", "resourceVersion": "7"}
    if kind == "ReplicaSet":
        meta["labels"] = {"pod-template-hash": owner_name.rpartition("-")[2]}
    if leaving:
        meta["deletionTimestamp"] = stamp(60)
    return {
        "metadata": meta | {"ownerReferences": references},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        "status": {
            "podIP": "10.1.2.3",
            "startTime": stamp(1, since),
            "conditions": conditions,
            "containerStatuses": list(containers or (container(),)),
            **status,
        },
    }


def starting(name: str = "a", **changes: Any) -> Manifest:  # noqa: ANN401
    """Return a pod without a ready condition since its start."""
    return pod(name, **{"ready": False, "turned_s": 1, **changes})


def circuit_breaker(spec: object = SPEC, *, status: object = None, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401  - any field
    """Return a CircuitBreaker as the API server sends it."""
    meta = {"name": "login", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 1, **metadata}
    found = {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": meta, "spec": spec}
    return found | ({"status": status} if status is not None else {})
