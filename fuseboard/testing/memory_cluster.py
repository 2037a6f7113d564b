"""A cluster in memory: objects by path, with resource versions, and a record of all writes."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

from fuseboard.cluster.rehearsal import merged
from fuseboard.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.cluster import Manifest

STAMP = "2026-01-01T00:00:00Z"


class MemoryCluster:
    """See ``Writable``: behaves like the API server for statuses and finalizers."""

    rehearses: ClassVar[bool] = False

    def __init__(self) -> None:
        """Start without objects."""
        self.objects: dict[str, Manifest] = {}
        self.writes: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        """Called before each operation with its name; may raise an error, or change an object."""
        self._version = 0

    def put(self, path: str, found: Manifest) -> Manifest:
        """Write an object as another client would: with a new version, and with the names of its path."""
        self._version += 1
        namespace, name = path.split("/")[-3], path.rsplit("/", maxsplit=1)[-1]
        meta = {"name": name, "namespace": namespace, "uid": f"uid of {name}", "creationTimestamp": STAMP}
        meta |= found.get("metadata", {}) | {"resourceVersion": str(self._version)}
        self.objects[path] = {**deepcopy(found), "metadata": meta}
        return deepcopy(self.objects[path])

    def within(self, seconds: float) -> MemoryCluster:  # noqa: ARG002  - no call takes time
        return self

    def get(self, path: str) -> Manifest:
        self.before(f"get {path}")
        return deepcopy(self._object(path))

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        raise NotImplementedError

    def patch(self, path: str, body: Manifest) -> None:
        self._begin("patch", path, body)
        after = merged(self._object(path), body)
        if after["metadata"].get("deletionTimestamp") and not after["metadata"].get("finalizers"):
            del self.objects[path]
        else:
            self.put(path, after)

    def create(self, path: str, body: Manifest) -> None:
        where = f"{path}/{body['metadata']['name']}"
        self.before(f"create {path}")
        if where in self.objects:
            raise Conflict(f"{where} is there already")
        self.writes.append(f"create {path}")
        self.put(where, body)

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        where = path.removesuffix("/status")
        self._begin(f"apply {manager}", where, body)
        found = self._object(where)
        status: dict[str, Any] = {**found.get("status", {}), **body["status"]}
        known = {each["type"]: each for each in found.get("status", {}).get("conditions", ())}
        known |= {each["type"]: each for each in body["status"].get("conditions", ())}
        self.put(where, {**found, "status": {**status, "conditions": list(known.values())}})

    def check(self) -> None:
        self.before("check")

    def _begin(self, what: str, path: str, body: Manifest) -> None:
        self.before(f"{what} {path}")
        current = self._object(path)["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion", current) != current:
            raise Conflict(f"{path} has changed")
        self.writes.append(f"{what} {path}")

    def _object(self, path: str) -> Manifest:
        if path not in self.objects:
            raise NotFound(f"{path}: 404")
        return self.objects[path]
