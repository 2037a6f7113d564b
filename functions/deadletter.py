"""Keep events that could not be delivered.

Runs as a Knative Service, the dead-letter sink of every Trigger. The function must work while Redis is down, the most
common reason for dead letters: events are appended to a file on a volume, and are on disk before the answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Final

from fuseboard import logs
from fuseboard.errors import StoreUnavailable
from fuseboard.events.types import ANY
from fuseboard.events.wire import encode

if TYPE_CHECKING:
    from pathlib import Path

    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes

FILE: Final = "dead-letters.jsonl"

_appending: Final = Lock()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Appends events to a file."""

    consumes: ClassVar[EventTypes] = ANY
    emits: ClassVar[EventTypes] = frozenset()
    path: Path

    def handle(self, event: Event) -> None:
        """Append the event as a CloudEvent in JSON; the line is on disk when this returns.

        Raises:
            StoreUnavailable: the file cannot be written.

        """
        line = encode(event, structured=True).body + b"\n"
        try:
            with _appending:
                _append(self.path, line)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}") from error
        logs.logger().error(
            "event.dead_lettered",
            type=event.type,
            id=event.id,
            subject=event.subject,
            destination=event.extensions.get("knativeerrordest", ""),
            code=event.extensions.get("knativeerrorcode", ""),
        )

    def check(self) -> None:
        """Do nothing if the file can be written.

        Raises:
            StoreUnavailable: the file cannot be written.

        """
        if not os.access(self.path.parent, os.W_OK):
            raise StoreUnavailable(f"{self.path.parent} cannot be written: is the volume there, and is it this user's?")


def new(connections: Connections) -> DeadLetter:
    """Return the function."""
    return DeadLetter(connections.settings.need_state_dir() / FILE)


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # a crash tore the last line: this line must stay readable
        written = 0
        while written < len(line):
            written += os.write(file, line[written:])
        os.fsync(file)
    finally:
        os.close(file)
