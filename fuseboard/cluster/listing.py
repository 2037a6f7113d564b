"""Read a list of the API server page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from fuseboard.errors import ClusterUnavailable, Expired

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fuseboard.cluster import Manifest

PAGE_SIZE: Final = 500


class Page(Struct, frozen=True):
    """A page of a list."""

    objects: list[Any]
    version: str
    token: str
    """Asks for the next page; empty on the last page."""


class Pageable(Protocol):
    """A cluster that returns lists in pages."""

    def page(self, path: str, query: Mapping[str, str]) -> Manifest:
        """See ``Kubernetes.page``."""


class PagedList:
    """The list at one path."""

    def __init__(self, cluster: Pageable, path: str) -> None:
        self._cluster = cluster
        self._path = path
        self._page_size = PAGE_SIZE

    def pages(self) -> Iterator[Page]:
        """Read the list and yield its pages.

        Raises:
            Expired: the history of the first page ended before the last page was read. The next list has one page.
            Refused, ClusterUnavailable: as ``Cluster`` raises them.

        """
        token = ""
        while True:
            page = self._read(token)
            yield page
            token = page.token
            if not token:
                return

    def _read(self, token: str) -> Page:
        query = {"limit": str(self._page_size)} if self._page_size else {}
        try:
            page = self._cluster.page(self._path, query | ({"continue": token} if token else {}))
        except Expired:
            self._page_size = 0
            raise
        meta, items = page.get("metadata"), page.get("items") or []
        if not isinstance(meta, dict) or not isinstance(items, list) or not meta.get("resourceVersion"):
            raise ClusterUnavailable(f"GET {self._path}: the answer is no list: check the server in the kubeconfig")
        return Page(items, str(meta["resourceVersion"]), str(meta.get("continue") or ""))
