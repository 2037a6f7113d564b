"""What a source is: something that turns the outside world into signals.

One file in ``eventsources/`` is one source. A *receiver* is told by HTTP; a *watcher* looks for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from msgspec import Struct

if TYPE_CHECKING:
    from threading import Event


class Notification(Struct, frozen=True):
    """What somebody told a receiver."""

    body: bytes
    content_type: str
    query: Mapping[str, str]


@runtime_checkable
class Receiver(Protocol):
    """Takes notifications in; several threads may call it at once."""

    path: ClassVar[str]
    """Where it is served under ``fuseboard up``; alone, it is served at ``/`` as well."""
    max_body_bytes: ClassVar[int]

    def receive(self, notification: Notification) -> None:
        """Take a notification in; when this returns, its signals are on disk.

        Raises:
            InvalidInput: it can never be taken in.
            Unavailable: nothing was stored; send it again.

        """

    def check(self) -> None:
        """Do nothing if notifications can be taken in now.

        Raises:
            Unavailable: what is needed does not answer.

        """


@runtime_checkable
class Watcher(Protocol):
    """Looks for itself until it is told to stop."""

    def run(self, stop: Event) -> None:
        """Emit what is seen, until ``stop`` is set; what does not answer is tried again."""

    def check(self) -> None:
        """Do nothing if it sees what there is to see.

        Raises:
            Unavailable: it does not, at the moment.

        """
