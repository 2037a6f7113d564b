"""Whom an object belongs to: Pod, ReplicaSet, Deployment, read once and remembered.

What cannot be read has no owners here, and its name decides (``targets``). Nothing is asked twice in a row: a pod that
is gone, or must not be read, is remembered as such for a while, and so is an API server that does not answer.
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
"""How long it is not asked again for what is gone or must not be read."""
RETRY_UNAVAILABLE_S: Final = 5.0
"""How long nothing is asked after an API server did not answer: the signals must not wait for it."""

NO_OWNER: Final = (("", ""),)
"""The owner of a pod that was made by hand: whatever its name looks like, it is nobody's."""

_HAVE_OWNERS: Final = frozenset({POD, REPLICA_SET})
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


class OwnerResolver:
    """Reads owners; used by one thread."""

    def __init__(self, read: Callable[[str], Mapping[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        """``read`` returns the object at a path, or raises as ``Cluster.get`` does."""
        self._read = read
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[float, Owners]] = OrderedDict()
        self._asks_again = 0.0

    def owners(self, about: InvolvedObject, uid: str = "") -> Owners:
        """Return kinds and names of whom an object belongs to; of one by this name with another uid, nothing."""
        # A name is others' text: only what can be one reaches a path.
        if about.kind not in _HAVE_OWNERS or not (_NAME.fullmatch(about.name) and _NAME.fullmatch(about.namespace)):
            return ()
        path = object_path(about.kind, about.namespace, about.name)
        expires, owners = self._known.get((path, uid), (0.0, ()))
        now = self._clock()
        if expires > now:
            self._known.move_to_end((path, uid))
            return owners
        if now < self._asks_again:
            return ()
        expires, owners = self._ask(about, path, uid)
        self._known[path, uid] = expires, owners
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return owners

    def _ask(self, about: InvolvedObject, path: str, uid: str) -> tuple[float, Owners]:
        """Read an object's owner, and that one's; return them and until when that holds."""
        try:
            meta = self._read(path).get("metadata") or {}
        except ClusterUnavailable:
            self._asks_again = self._clock() + RETRY_UNAVAILABLE_S
            return self._asks_again, ()
        except Refused:
            return self._clock() + RETRY_UNREADABLE_S, ()
        if uid and meta.get("uid") != uid:
            return math.inf, ()
        controller = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), None)
        if controller is None:
            return math.inf, NO_OWNER
        kind, name = str(controller.get("kind")), str(controller.get("name"))
        if kind not in _HAVE_OWNERS:
            return math.inf, ((kind, name),)
        above = self.owners(type(about)(about.namespace, kind, name), str(controller.get("uid") or ""))
        # Without the Deployment, the ReplicaSet's name tells it; look again when that can be read.
        expires = math.inf if above else self._clock() + RETRY_UNREADABLE_S
        return expires, ((kind, name), *above)
