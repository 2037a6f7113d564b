"""The Kubernetes API server, or a rehearsal of it: the calls that other packages may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Manifest = dict[str, Any]
    """An object of the cluster, or a patch of an object, decoded from JSON."""


class Cluster(Protocol):
    """Reads and patches objects; several threads may use a cluster at the same time.

    Every call raises:
        ClusterUnavailable: no answer, or a request to try again. A patch may have been applied nevertheless.
        Refused: the API server refuses the call permanently.
    """

    rehearses: ClassVar[bool]
    """Whether this is a rehearsal, which changes no real object."""

    def within(self, seconds: float) -> Cluster:
        """Return the same cluster for calls that all end within this time from now."""

    def get(self, path: str) -> Manifest:
        """Return an object.

        Raises:
            NotFound: the object does not exist.

        """

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        """Return the objects with all of these labels; None if the cluster does not know."""

    def patch(self, path: str, body: Manifest) -> None:
        """Merge a patch into an object, if the object still has the ``metadata.resourceVersion`` in the patch.

        Raises:
            Conflict: the object has another version.

        """

    def check(self) -> None:
        """Do nothing if the cluster answers."""


@runtime_checkable
class Rehearsing(Protocol):
    """A rehearsal: an object exists there once a caller has assumed, created or applied the object."""

    def assume(self, path: str, body: Manifest) -> None:
        """Let an object exist; a patched, created or applied object stays as it is."""


class Writable(Cluster, Protocol):
    """A cluster with the calls for Events and statuses."""

    def within(self, seconds: float) -> Writable:
        """See ``Cluster.within``."""

    def create(self, path: str, body: Manifest) -> None:
        """Create an object in the list at a path.

        Raises:
            Conflict: the list has an object of this name.

        """

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        """Set the fields in ``body`` and own them as ``manager``, also against other managers (server-side apply).

        Raises:
            Conflict: the body has a ``metadata.resourceVersion``, and the object has another version.

        """
