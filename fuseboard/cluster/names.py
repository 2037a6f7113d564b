"""What the API server knows objects by: kinds, plurals, paths; and the names that Fuseboard reports under."""

from __future__ import annotations

from typing import Final

from fuseboard.policy.enums import RouteKind, WorkloadKind

OWN: Final = "fuseboard"
"""Who reports when Fuseboard itself writes an Event: no evidence against anybody."""

NORMAL: Final = "Normal"

POD: Final = "Pod"

REPLICA_SET: Final = "ReplicaSet"

DEPLOYMENT: Final = WorkloadKind.DEPLOYMENT.value

STATEFUL_SET: Final = WorkloadKind.STATEFUL_SET.value

SERVICE: Final = RouteKind.SERVICE.value
