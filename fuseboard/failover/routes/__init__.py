"""Route drivers: each reads and writes the shares of one kind of object, and checks which shares the kind can express.

A driver is a file in this folder and a line in ``DRIVERS``. It carries its permissions and an example of a policy's
``route``. Every write to the object is fenced: ``(epoch, step)`` per breaker changes together with the shares, under
the ``resourceVersion`` of the last read, and only rises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuseboard.failover.routes.service import ServiceRoute
from fuseboard.policy.enums import RouteKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.failover.routes.driver import RouteDriver

DRIVERS: Final[Mapping[RouteKind, type[RouteDriver]]] = {
    RouteKind.SERVICE: ServiceRoute,
}
"""The driver of each kind of route."""
