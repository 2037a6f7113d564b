"""Keep the breaker table equal to a file, or to a folder, for example a mounted ConfigMap.

The source looks at the files, and makes the store's table equal to them. Invalid and empty files leave the last table
in force. Without a file, the table is the cluster's (``circuitbreakers``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.delivery.loops import Idle, every
from fuseboard.errors import InvalidPolicy, Unavailable
from fuseboard.policy.files import parse_table, read_files

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event as Flag

    from fuseboard.delivery.connections import Connections
    from fuseboard.stores import Store

LOOK_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Policies:
    """Applies the files when they have changed or the store has lost the table."""

    path: Path
    store: Store
    _texts: dict[Path, str] = field(default_factory=dict, init=False, repr=False)
    _due: bool = field(default=True, init=False, repr=False)
    _complaint: str = field(default="", init=False, repr=False)

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        for _ in every(LOOK_EVERY_S, stop):
            self.look()

    def check(self) -> None:
        """See ``Watcher.check``."""
        self.store.check()

    def look(self) -> None:
        """Apply the files if they are due; after an error, the next look tries again."""
        try:
            self._look()
        except (InvalidPolicy, Unavailable) as error:
            if str(error) != self._complaint:  # every second would be too often
                logs.logger().error("policies.not_applied", error=str(error))
            self._complaint = str(error)

    def _look(self) -> None:
        texts = read_files(self.path)
        if texts != self._texts:
            self._texts, self._due = texts, True
        # Only a table that is gone is put back. One that differs may be another replica's, whose files are newer.
        if not self._due and self.store.table():
            return
        policies = parse_table(texts, self.path)
        left = self.store.apply(policies)
        self._due, self._complaint = False, ""
        logs.logger().info("policies.applied", breakers=len(policies))
        for key in left:
            logs.logger().error("policies.moved_breaker_left", breaker=key)


def new(connections: Connections) -> Policies | Idle:
    """Return the source; idle where the table is the cluster's."""
    settings = connections.settings
    if settings.kubeconfig and settings.policies is None:
        return Idle()
    return Policies(settings.need_policies(), connections.store)
