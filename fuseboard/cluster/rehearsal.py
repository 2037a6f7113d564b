"""A rehearsal replaces a cluster: the same calls, without moving any traffic."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from fuseboard.errors import CannotStart, ClusterUnavailable, Conflict, NotFound
from fuseboard.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fuseboard.cluster import Manifest


class Rehearsal:
    """A cluster in memory: logs each patch instead of sending the patch, and behaves as if all were applied."""

    rehearses: ClassVar[bool] = True

    def __init__(self, file: Path | None = None) -> None:
        """Keep the changed objects in ``file``, so that they survive a restart.

        Raises:
            CannotStart: the file cannot be read.

        """
        self._file = file
        self._lock = Lock()
        self._assumed: dict[str, Manifest] = {}
        self._patched: dict[str, Manifest] = _kept(file)

    def within(self, seconds: float) -> Rehearsal:  # noqa: ARG002  - a rehearsal takes no time
        """See ``Cluster.within``."""
        return self

    def assume(self, path: str, body: Manifest) -> None:
        """See ``Rehearsing.assume``."""
        with self._lock:
            self._assumed[path] = merged(body, {"metadata": {"resourceVersion": "0"}})

    def get(self, path: str) -> Manifest:
        """See ``Cluster.get``."""
        with self._lock:
            return deepcopy(self._current(path))

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:  # noqa: ARG002  - a rehearsal has no pods
        """See ``Cluster.list``."""
        return None

    def patch(self, path: str, body: Manifest) -> None:
        """See ``Cluster.patch``."""
        with self._lock:
            before = self._current(path)
            version = before["metadata"]["resourceVersion"]
            if body.get("metadata", {}).get("resourceVersion", version) != version:
                raise Conflict(f"{path} has changed since it was read")
            after = merged(merged(before, body), {"metadata": {"resourceVersion": str(int(version) + 1)}})
            self._keep({**self._patched, path: after})
        logger().info("patch.rehearsed", path=path, patch=body)

    def create(self, path: str, body: Manifest) -> None:
        """See ``Writable.create``."""
        where = f"{path}/{body['metadata']['name']}"
        with self._lock:
            if where in self._patched:
                raise Conflict(f"{where} exists already")
            self._keep({**self._patched, where: merged(body, {"metadata": {"resourceVersion": "1"}})})
        logger().info("create.rehearsed", path=where, object=body)

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        """See ``Writable.apply``."""
        with self._lock:
            before = self._patched.get(path, {})
            version = str(int(before.get("metadata", {}).get("resourceVersion", "0")) + 1)
            self._keep(
                {**self._patched, path: merged(merged(before, body), {"metadata": {"resourceVersion": version}})}
            )
        logger().info("apply.rehearsed", path=path, object=body, manager=manager)

    def check(self) -> None:
        """See ``Cluster.check``."""

    def _current(self, path: str) -> Manifest:
        current = self._patched.get(path) or self._assumed.get(path)
        if current is None:
            raise NotFound(f"{path}: the rehearsal has no such object")
        return current

    def _keep(self, objects: dict[str, Manifest]) -> None:
        if self._file is not None:
            try:
                _write(self._file, json.dumps(objects, indent=1))
            except OSError as error:
                raise ClusterUnavailable(f"the rehearsal cannot be kept in {self._file}: {error.strerror}") from error
        self._patched = objects


def merged(before: Manifest, patch: Manifest) -> Manifest:
    """Return an object with a JSON merge patch applied (RFC 7396)."""
    after = dict(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict):
            known = after.get(key)
            after[key] = merged(known if isinstance(known, dict) else {}, value)
        else:
            after[key] = value
    return after


def _kept(file: Path | None) -> dict[str, Manifest]:
    if file is None or not file.exists():
        return {}
    try:
        objects = dict(json.loads(file.read_text()).items())
        return {path: objects[path] for path in objects if objects[path]["metadata"]["resourceVersion"].isdigit()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"the rehearsal in {file} cannot be read ({error}): delete it to begin a new one"
        raise CannotStart(message) from error


def _write(file: Path, text: str) -> None:
    """Replace a file at once: after a crash, the file has either the old text or the new text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with fresh.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
