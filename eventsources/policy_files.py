"""Keep the breaker table as it is written down: in a file, or in a folder such as a mounted ConfigMap.

It emits nothing: it looks at the files, and makes the store's table what they say. What cannot be used, or is empty,
leaves the last table in force. Where no file is named, the table is the cluster's (``circuitbreakers``).
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
    """Applies what the files say, when they have changed or the store has lost it."""

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
        """Apply the files if that is due; what fails now is tried at the next look."""
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
    """Return the source; where the table is the cluster's, it is idle."""
    settings = connections.settings
    if settings.kubeconfig and settings.policies is None:
        return Idle()
    return Policies(settings.need_policies(), connections.store)
