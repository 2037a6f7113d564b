"""A CircuitBreaker resource as the API server has it, and the patches that Fuseboard sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from fuseboard.cluster.names import CIRCUIT_BREAKER, object_path
from fuseboard.cluster.objects import CircuitBreakerMeta
from fuseboard.errors import InvalidInput, InvalidPolicy
from fuseboard.policy import validation
from fuseboard.policy.spec import API_VERSION, KIND, Policy
from fuseboard.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.cluster import Manifest

FINALIZER: Final = "fuseboard.dev/placement"
"""Our finalizer: a deleted CircuitBreaker keeps existing while its traffic is moved."""


class Resource(Struct, frozen=True):
    """A CircuitBreaker as the API server has it."""

    key: str
    """``namespace/name``."""
    uid: str
    version: str
    generation: int
    created: str
    """RFC 3339 in whole seconds: alphabetical order is order in time."""
    deleted_at: int | None
    """Time of its deletion, in milliseconds since 1970; the resource exists until its finalizers are gone."""
    finalizers: tuple[str, ...]
    status: dict[str, Any]
    policy: Policy | None
    problem: str = ""
    """Why its spec is no valid policy."""

    @property
    def path(self) -> str:
        """Its path on the API server."""
        return resource_path(self.key)

    @property
    def age(self) -> tuple[str, str]:
        """A key that sorts the oldest resource first."""
        return self.created, self.key

    @property
    def is_held(self) -> bool:
        """Whether our finalizer is present."""
        return FINALIZER in self.finalizers


def resource_path(key: str) -> str:
    """Return the path of a breaker's CircuitBreaker."""
    namespace, _, name = key.partition("/")
    return object_path(CIRCUIT_BREAKER, namespace, name)


def read_resource(manifest: Mapping[str, Any]) -> Resource:
    """Return an object of the API server as a resource; an invalid spec becomes its problem.

    Raises:
        InvalidInput: the object has no valid metadata.

    """
    try:
        meta = msgspec.convert(manifest.get("metadata"), CircuitBreakerMeta)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"this is no CircuitBreaker: {error}") from error
    policy, problem = _policy(manifest, meta)
    status = manifest.get("status")
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


def _policy(manifest: Mapping[str, Any], meta: CircuitBreakerMeta) -> tuple[Policy | None, str]:
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": meta.name, "namespace": meta.namespace},
        "spec": manifest.get("spec"),
    }
    try:
        return validation.parse_document(document, KIND), ""
    except InvalidPolicy as error:
        return None, str(error)


def status_patch(key: str, status: Manifest, version: str = "") -> Manifest:
    """Return the object to apply to the status of a resource; with a ``version``, to this version only."""
    namespace, _, name = key.partition("/")
    metadata = {"name": name, "namespace": namespace} | ({"resourceVersion": version} if version else {})
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}


def finalizer_patch(resource: Resource, *, hold: bool) -> Manifest | None:
    """Return the patch that adds our finalizer, or removes it unless ``hold``; None if no patch is needed.

    Kubernetes refuses new finalizers on a deleted resource.
    """
    if resource.is_held == hold or (hold and resource.deleted_at is not None):
        return None
    others = [each for each in resource.finalizers if each != FINALIZER]
    finalizers = [*others, FINALIZER] if hold else others
    return {"metadata": {"resourceVersion": resource.version, "finalizers": finalizers}}
