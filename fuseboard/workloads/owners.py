"""The owners of a Pod or a ReplicaSet, read from the API server and cached.

An object that cannot be read has no owners, and its name decides instead (``signals.targets``). Failed reads are cached
for a while, too: of a deleted object, of an object that RBAC forbids, and of an API server that does not answer.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from fuseboard.cluster.names import POD, REPLICA_SET, object_path
from fuseboard.errors import ClusterUnavailable, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.signals.targets import InvolvedObject, Owners

MAX_REMEMBERED: Final = 8_192
RETRY_UNREADABLE_S: Final = 60.0
"""Wait before the next read of an object that was deleted or forbidden."""
RETRY_UNAVAILABLE_S: Final = 5.0
"""Wait before the next read after the API server did not answer: signals must not wait for owners."""

NO_OWNER: Final = (("", ""),)
"""Stands for the owner of an object without a controller: the object belongs to no workload, whatever its name."""

_READABLE: Final = frozenset({POD, REPLICA_SET})
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


class OwnerResolver:
    """Reads and caches owners; used by a single thread."""

    def __init__(self, read: Callable[[str], Mapping[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        """Start with an empty cache; ``read`` returns the object at a path, or raises as ``Cluster.get`` does."""
        self._read = read
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, Owners]] = OrderedDict()
        self._retry_at = 0.0

    def owners(self, about: InvolvedObject, uid: str = "") -> Owners:
        """Return kind and name of each owner; an object with another ``uid`` has no owners.

        A ReplicaSet is followed by its Deployment.
        """
        # Names are untrusted: only a valid name becomes part of a path.
        if about.kind not in _READABLE or not (_NAME.fullmatch(about.name) and _NAME.fullmatch(about.namespace)):
            return ()
        path = object_path(about.kind, about.namespace, about.name)
        expires, owners = self._cache.get((path, uid), (0.0, ()))
        now = self._clock()
        if expires > now:
            self._cache.move_to_end((path, uid))
            return owners
        if now < self._retry_at:
            return ()
        expires, owners = self._read_owners(about, path, uid)
        self._cache[path, uid] = expires, owners
        if len(self._cache) > MAX_REMEMBERED:
            self._cache.popitem(last=False)
        return owners

    def _read_owners(self, about: InvolvedObject, path: str, uid: str) -> tuple[float, Owners]:
        """Read the owner of an object, and the owner's owner; return the time until which to cache them, and both."""
        try:
            meta = self._read(path).get("metadata") or {}
        except ClusterUnavailable:
            self._retry_at = self._clock() + RETRY_UNAVAILABLE_S
            return self._retry_at, ()
        except Refused:
            return self._clock() + RETRY_UNREADABLE_S, ()
        if uid and meta.get("uid") != uid:
            return math.inf, ()
        controller = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), None)
        if controller is None:
            return math.inf, NO_OWNER
        kind, name = str(controller.get("kind")), str(controller.get("name"))
        if kind not in _READABLE:
            return math.inf, ((kind, name),)
        above = self.owners(type(about)(about.namespace, kind, name), str(controller.get("uid") or ""))
        # If the ReplicaSet cannot be read, its name gives the Deployment; read again later.
        expires = math.inf if above else self._clock() + RETRY_UNREADABLE_S
        return expires, ((kind, name), *above)
