"""The protocols of sources, which turn news of the outside world into signals.

Each file in ``eventsources/`` is a source. A *receiver* gets its news by HTTP, a *watcher* asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from msgspec import Struct

if TYPE_CHECKING:
    from threading import Event


class Notification(Struct, frozen=True):
    """An HTTP request to a receiver."""

    body: bytes
    content_type: str
    query: Mapping[str, str]


@runtime_checkable
class Receiver(Protocol):
    """Takes notifications in; safe for threads."""

    path: ClassVar[str]
    """Its path under ``fuseboard up``; served alone, ``/`` works as well."""
    max_body_bytes: ClassVar[int]

    def receive(self, notification: Notification) -> None:
        """Take a notification in; when this returns, its signals are on disk.

        Raises:
            InvalidInput: the notification can never be taken in.
            Unavailable: the notification was not stored; send it again.

        """

    def check(self) -> None:
        """Do nothing if notifications can be taken in now.

        Raises:
            Unavailable: a connection does not answer.

        """


@runtime_checkable
class Watcher(Protocol):
    """Asks for news until it is stopped."""

    def run(self, stop: Event) -> None:
        """Send signals until ``stop`` is set; after an error, try again."""

    def check(self) -> None:
        """Do nothing if news arrive.

        Raises:
            Unavailable: the source has no news, at the moment.

        """
