"""The client of the API server: calls on single objects, pages of lists, and watch streams.

Only this package uses the Kubernetes package, and only its generic half: the typed API classes cost 0.4 s and 40 MB.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fuseboard.cluster.answers import as_error, decoded, errors_translated, quoted
from fuseboard.cluster.stream import Stream
from fuseboard.errors import ClusterUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import ApiClient

    from fuseboard.cluster import Manifest

FIELD_MANAGER: Final = "fuseboard"
CALL_TIMEOUT_S: Final = 5.0
CHECK_TIMEOUT_S: Final = 1.0
PAGE_TIMEOUT_S: Final = 30.0
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"


class Kubernetes:
    """A real API server."""

    rehearses: ClassVar[bool] = False

    def __init__(
        self, client: ApiClient, *, call_timeout_s: float = CALL_TIMEOUT_S, deadline: float | None = None
    ) -> None:
        """Use this client; nothing is sent yet. After ``deadline``, by ``time.monotonic()``, no call is sent."""
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._deadline = deadline

    def within(self, seconds: float) -> Kubernetes:
        """See ``Cluster.within``."""
        deadline = time.monotonic() + seconds
        return Kubernetes(self._client, call_timeout_s=self._call_timeout_s, deadline=deadline)

    def get(self, path: str) -> Manifest:
        """See ``Cluster.get``."""
        return self._call("GET", path)

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        """See ``Cluster.list``."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(label_selector.items()))
        items: list[Manifest] = self._call("GET", path, {"labelSelector": labels}).get("items") or []
        return items

    def patch(self, path: str, body: Manifest) -> None:
        """See ``Cluster.patch``."""
        self._call("PATCH", path, {"fieldManager": FIELD_MANAGER}, body)

    def create(self, path: str, body: Manifest) -> None:
        """See ``Writable.create``."""
        self._call("POST", path, {"fieldManager": FIELD_MANAGER}, body, JSON)

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        """See ``Writable.apply``."""
        self._call("PATCH", path, {"fieldManager": manager, "force": "true"}, body, APPLY_PATCH)

    def check(self) -> None:
        """See ``Cluster.check``."""
        self.within(CHECK_TIMEOUT_S)._call("GET", "/version")  # noqa: SLF001  - of the same class

    def close(self) -> None:
        """Close the connections to the API server."""
        self._client.close()  # type: ignore[no-untyped-call]

    def page(self, path: str, query: Mapping[str, str]) -> Manifest:
        """Return one page of a list, with its ``metadata``.

        Raises:
            Expired: the history of this version or page is gone.

        """
        return Kubernetes(self._client, call_timeout_s=PAGE_TIMEOUT_S)._call("GET", path, query)  # noqa: SLF001

    def stream(self, path: str, query: Mapping[str, str], silence_s: float) -> Stream:
        """Return the lines of a watch; reading them raises ``Stalled`` after a silence of ``silence_s``.

        Raises:
            Expired: the history of this version is gone.

        """
        call = f"GET {path}"
        with errors_translated(call):
            response = self._request(call, (self._call_timeout_s, silence_s), query)
            if response.status == 200:  # noqa: PLR2004  - HTTP's own number
                return Stream(call, response.response)
            content = response.read()
        raise as_error(call, response.status, response.headers, decoded(content) or quoted(content))

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        media: str = MERGE_PATCH,
    ) -> Manifest:
        call = f"{method} {path}"
        timeout_s = self._seconds_left(call)
        with errors_translated(call):
            response = self._request(call, timeout_s, query, None if body is None else (media, body))
            status, headers, content = response.status, response.headers, response.read()
        answer = decoded(content)
        if 200 <= status < 300 and answer is not None:  # noqa: PLR2004  - HTTP's successes
            return answer
        raise as_error(call, status, headers, answer or quoted(content))

    def _request(
        self,
        call: str,
        timeout_s: float | tuple[float, float],
        query: Mapping[str, str] | None,
        sent: tuple[str, Manifest] | None = None,
    ) -> Any:  # noqa: ANN401  - the client's own response
        method, _, path = call.partition(" ")
        media, body = sent or ("", None)
        header = {"Accept": JSON} | ({"Content-Type": media} if media else {})
        request = self._client.param_serialize(
            method, path, None, list((query or {}).items()), header, body, auth_settings=["BearerToken"]
        )
        return self._client.call_api(*request, _request_timeout=timeout_s)

    def _seconds_left(self, call: str) -> float:
        if self._deadline is None:
            return self._call_timeout_s
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ClusterUnavailable(f"{call}: not sent: the API server was too slow for this step's deadline")
        return min(left, self._call_timeout_s)
