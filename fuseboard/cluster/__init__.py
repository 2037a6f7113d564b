"""The Kubernetes API server: objects, streams, watches; or a rehearsal of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Manifest = dict[str, Any]
    """An object of the cluster, or a patch of one, as JSON has it."""


class Cluster(Protocol):
    """Where the objects live; several threads may use it at once.

    Every call raises:
        ClusterUnavailable: no answer, or one that says to try again; a patch may have been applied nevertheless.
        Refused: it said no, for good.
    """

    rehearses: ClassVar[bool]

    def within(self, seconds: float) -> Cluster:
        """Return the same cluster for calls that all end within so many seconds from now."""

    def get(self, path: str) -> Manifest:
        """Return an object.

        Raises:
            NotFound: there is no such object.

        """

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        """Return the objects that have these labels; None when it is not known."""

    def patch(self, path: str, body: Manifest) -> None:
        """Merge a patch into an object, under the ``metadata.resourceVersion`` that it carries.

        Raises:
            Conflict: the object has changed since that version was read.

        """

    def check(self) -> None:
        """Do nothing if the cluster answers."""


@runtime_checkable
class Rehearsing(Protocol):
    """A cluster that is a rehearsal: an object exists there once somebody has assumed, created or applied it."""

    def assume(self, path: str, found: Manifest) -> None:
        """Take an object for granted, unless it has been patched, created or applied already."""


class Writable(Cluster, Protocol):
    """A cluster in which things are said as well: Events, and statuses."""

    def within(self, seconds: float) -> Writable:
        """See ``Cluster.within``."""

    def create(self, path: str, body: Manifest) -> None:
        """Create an object among those at a path.

        Raises:
            Conflict: there is one of this name.

        """

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        """Make what is said of an object so, and own it as ``manager``, whoever said otherwise (server-side apply).

        Raises:
            Conflict: the object has changed since the ``metadata.resourceVersion`` that it carries was read.

        """
