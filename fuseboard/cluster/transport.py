"""Requests to the API server through the generic half of the Kubernetes client, with deadlines and errors of ours."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fuseboard.cluster.answers import as_error, decoded, errors_translated, quoted
from fuseboard.cluster.stream import Stream
from fuseboard.errors import ClusterUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import ApiClient

    from fuseboard.cluster import Manifest

CALL_TIMEOUT_S: Final = 5.0
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

_OK: Final = 200
_REDIRECTION: Final = 300


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the API server."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Manifest | None = None
    media: str = JSON
    """Media type of the body."""

    @property
    def call(self) -> str:
        """Method and path, which begin every message about the request."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Transport:
    """Sends requests, each with a time limit."""

    client: ApiClient
    call_timeout_s: float = CALL_TIMEOUT_S
    deadline: float | None = None
    """Time after which no request is sent, by ``time.monotonic()``."""

    def call(self, request: Request) -> Manifest:
        """Send a request and return the object in the answer.

        Raises:
            Expired, Conflict, Refused, ClusterUnavailable: see ``answers.as_error``.

        """
        timeout_s = self._seconds_left(request)
        with errors_translated(request.call):
            response = self._send(request, timeout_s)
            status, headers, content = response.status, response.headers, response.read()
        answer = decoded(content)
        if _OK <= status < _REDIRECTION and answer is not None:
            return answer
        raise as_error(request.call, status, headers, answer or quoted(content))

    def stream(self, request: Request, silence_s: float) -> Stream:
        """Send a request and return the lines of the answer; errors are those of ``call``."""
        with errors_translated(request.call):
            response = self._send(request, (self.call_timeout_s, silence_s))
            if response.status == _OK:
                return Stream(request.call, response.response)
            content = response.read()
        raise as_error(request.call, response.status, response.headers, decoded(content) or quoted(content))

    def _send(self, request: Request, timeout_s: float | tuple[float, float]) -> Any:  # noqa: ANN401  - the client's response
        header = {"Accept": JSON} | ({"Content-Type": request.media} if request.body is not None else {})
        prepared = self.client.param_serialize(
            request.method,
            request.path,
            None,
            list(request.query.items()),
            header,
            request.body,
            auth_settings=["BearerToken"],
        )
        return self.client.call_api(*prepared, _request_timeout=timeout_s)

    def _seconds_left(self, request: Request) -> float:
        if self.deadline is None:
            return self.call_timeout_s
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ClusterUnavailable(f"{request.call}: not sent: the API server was too slow for this step's deadline")
        return min(left, self.call_timeout_s)
