"""CircuitBreaker resources as the API server has them: what is read of one, and what is written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from fuseboard.cluster.names import CIRCUIT_BREAKER, object_path
from fuseboard.cluster.objects import CircuitBreakerMeta
from fuseboard.errors import InvalidInput, InvalidPolicy
from fuseboard.policy import validation
from fuseboard.policy.spec import API_VERSION, KIND, Policy
from fuseboard.times import kubernetes_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    Manifest = dict[str, Any]

FINALIZER: Final = "fuseboard.dev/placement"
"""Keeps a CircuitBreaker from going while its traffic is moved."""

MESSAGE_LENGTH: Final = 1024


class Resource(Struct, frozen=True):
    """One CircuitBreaker, as it was found."""

    key: str
    uid: str
    version: str
    generation: int
    created: str
    """RFC 3339, whole seconds: the order of the alphabet is that of time."""
    deleted_at: int | None
    """When somebody deleted it, in milliseconds since 1970; it goes when its finalizers have."""
    finalizers: tuple[str, ...]
    status: Manifest
    policy: Policy | None
    problem: str = ""
    """Why it is no policy."""

    @property
    def path(self) -> str:
        """Its path on the API server."""
        return path_of(self.key)

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the oldest first."""
        return self.created, self.key

    @property
    def is_held(self) -> bool:
        """Whether our finalizer is on it."""
        return FINALIZER in self.finalizers


def path_of(key: str) -> str:
    """Return the path of a breaker's CircuitBreaker."""
    namespace, _, name = key.partition("/")
    return object_path(CIRCUIT_BREAKER, namespace, name)


def read(found: Mapping[str, Any]) -> Resource:
    """Return what an object says; one that is no policy says why.

    Raises:
        InvalidInput: it is no object of the API server's.

    """
    try:
        meta = msgspec.convert(found.get("metadata"), CircuitBreakerMeta)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"this is no CircuitBreaker: {error}") from error
    policy, problem = _policy(found, meta)
    status = found.get("status")
    return Resource(
        key=f"{meta.namespace}/{meta.name}",
        uid=meta.uid,
        version=meta.resource_version,
        generation=meta.generation,
        created=meta.creation_timestamp,
        deleted_at=parse_timestamp(meta.deletion_timestamp) if meta.deletion_timestamp else None,
        finalizers=meta.finalizers,
        status=status if isinstance(status, dict) else {},
        policy=policy,
        problem=problem,
    )


def _policy(found: Mapping[str, Any], meta: CircuitBreakerMeta) -> tuple[Policy | None, str]:
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": meta.name, "namespace": meta.namespace},
        "spec": found.get("spec"),
    }
    try:
        return validation.parse_document(document, KIND), ""
    except InvalidPolicy as error:
        return None, str(error)


def said(key: str, status: Manifest, version: str = "") -> Manifest:
    """Return what is applied to a resource's status; with a ``version``, only if that is still the current one."""
    namespace, _, name = key.partition("/")
    metadata = {"name": name, "namespace": namespace} | ({"resourceVersion": version} if version else {})
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}


def held(resource: Resource, *, hold: bool) -> Manifest | None:
    """Return the patch that puts our finalizer on a resource or takes it off; None where that is so already."""
    if resource.is_held == hold or (hold and resource.deleted_at is not None):  # then Kubernetes takes no new ones
        return None
    others = [each for each in resource.finalizers if each != FINALIZER]
    finalizers = [*others, FINALIZER] if hold else others
    return {"metadata": {"resourceVersion": resource.version, "finalizers": finalizers}}


def condition(before: Manifest, kind: str, *, so: bool, reason: str, message: str, now: int) -> Manifest:
    """Return a condition as Kubernetes has them: the time is that of the last change from so to not so, or back."""
    status = "True" if so else "False"
    known: Manifest = next((each for each in before.get("conditions") or () if each.get("type") == kind), {})
    since = known.get("lastTransitionTime") if known.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message[:MESSAGE_LENGTH],
        "lastTransitionTime": since or kubernetes_timestamp(now),
    }
