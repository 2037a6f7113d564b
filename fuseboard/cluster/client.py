"""The client of the API server: calls on single objects, pages of lists, and watch streams.

Only this package uses the Kubernetes package, and only its generic half: the typed API classes cost 0.4 s and 40 MB.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from fuseboard.cluster.transport import APPLY_PATCH, CALL_TIMEOUT_S, MERGE_PATCH, Request, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import ApiClient

    from fuseboard.cluster import Manifest
    from fuseboard.cluster.stream import Stream

FIELD_MANAGER: Final = "fuseboard"
CHECK_TIMEOUT_S: Final = 1.0
PAGE_TIMEOUT_S: Final = 30.0

_OURS: Final = {"fieldManager": FIELD_MANAGER}


class Kubernetes:
    """A real API server."""

    rehearses: ClassVar[bool] = False

    def __init__(
        self, client: ApiClient, *, call_timeout_s: float = CALL_TIMEOUT_S, deadline: float | None = None
    ) -> None:
        """Use this client; nothing is sent yet. After ``deadline``, by ``time.monotonic()``, no call is sent."""
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._transport = Transport(client, call_timeout_s, deadline)

    def within(self, seconds: float) -> Kubernetes:
        """See ``Cluster.within``."""
        deadline = time.monotonic() + seconds
        return Kubernetes(self._client, call_timeout_s=self._call_timeout_s, deadline=deadline)

    def get(self, path: str) -> Manifest:
        """See ``Cluster.get``."""
        return self._transport.call(Request("GET", path))

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        """See ``Cluster.list``."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(label_selector.items()))
        answer = self._transport.call(Request("GET", path, {"labelSelector": labels}))
        items: list[Manifest] = answer.get("items") or []
        return items

    def patch(self, path: str, body: Manifest) -> None:
        """See ``Cluster.patch``."""
        self._transport.call(Request("PATCH", path, _OURS, body, MERGE_PATCH))

    def create(self, path: str, body: Manifest) -> None:
        """See ``Writable.create``."""
        self._transport.call(Request("POST", path, _OURS, body))

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        """See ``Writable.apply``."""
        query = {"fieldManager": manager, "force": "true"}
        self._transport.call(Request("PATCH", path, query, body, APPLY_PATCH))

    def check(self) -> None:
        """See ``Cluster.check``."""
        self.within(CHECK_TIMEOUT_S).get("/version")

    def close(self) -> None:
        """Close the connections to the API server."""
        self._client.close()  # type: ignore[no-untyped-call]

    def page(self, path: str, query: Mapping[str, str]) -> Manifest:
        """Return one page of a list, with its ``metadata``.

        Raises:
            Expired: the history of this version or page is gone.

        """
        return Transport(self._client, PAGE_TIMEOUT_S).call(Request("GET", path, query))

    def stream(self, path: str, query: Mapping[str, str], silence_s: float) -> Stream:
        """Return the lines of a watch; reading them raises ``Stalled`` after a silence of ``silence_s``.

        Raises:
            Expired: the history of this version is gone.

        """
        return self._transport.stream(Request("GET", path, query), silence_s)
