"""The HTTP client of Fuseboard: for the broker, Prometheus, Alertmanager, and a running Fuseboard.

A request ends within its deadline, even if the body of the answer trickles, and within its size. The client does
not retry: each caller has its own pace. Redirects are not followed, to keep a token at its address, and proxies of the
environment are not used.

Only the probe of pods has a client of its own (``fuseboard.workloads.probe``): its deadline also holds for an answer
with trickling headers, which no HTTP library promises.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import urllib3

from fuseboard.errors import CannotStart, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DEADLINE_S: Final = 5.0
OK: Final = 200

_CHUNK_BYTES: Final = 65_536
_HINTS: Final[Mapping[int, str]] = {
    401: ": it wants a token, or another one",
    403: ": this token may not ask",
    404: ": is the path of the URL right?",
}


class HttpResponse(NamedTuple):
    """An answer of any status."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  - HTTP's own classes

    @property
    def hint(self) -> str:
        """The status, and its most likely cause."""
        return f"answers {self.status}{_HINTS.get(self.status, '')}"


class HttpClient:
    """Sends requests to an address, over a few connections that are kept; safe for threads."""

    def __init__(
        self,
        url: str,
        token_file: Path | None = None,
        *,
        lanes: int = 1,
        max_bytes: int = 1_048_576,
        deadline_s: float = DEADLINE_S,
        connect_s: float | None = None,
    ) -> None:
        """Connect nothing yet; ``lanes`` is the number of connections that are kept.

        Raises:
            CannotStart: the URL is not for HTTP.

        """
        if not url.startswith(("http://", "https://")):
            raise CannotStart(f"{url!r} is no URL to ask: give one such as http://prometheus.monitoring.svc:9090")
        self.url = url.rstrip("/")
        self._given_url = url
        self._token_file = token_file
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        timeout = urllib3.Timeout(connect=connect_s or deadline_s, read=deadline_s)
        self._http = urllib3.PoolManager(maxsize=lanes, retries=False, timeout=timeout)

    def get(self, path: str, fields: Mapping[str, str] | None = None) -> HttpResponse:
        """Return the answer to a GET of a path below the URL, whatever its status.

        Raises:
            Unavailable: the answer is missing at the deadline, or too long.

        """
        return self._send("GET", self.url + path, fields=fields)

    def post(self, body: bytes, headers: Mapping[str, str], path: str = "") -> HttpResponse:
        """Return the answer to a POST to the URL, or to a path below it, whatever its status.

        Raises:
            Unavailable: the answer is missing at the deadline, or too long; the request may have been accepted.

        """
        return self._send("POST", self.url + path if path else self._given_url, body=body, headers=headers)

    def close(self) -> None:
        """Close the connections that were kept."""
        self._http.clear()

    def _send(
        self,
        method: str,
        url: str,
        *,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        give_up = time.monotonic() + self._deadline_s
        try:
            response = self._http.request(
                method,
                url,
                body=body,
                fields=fields,
                headers={**(headers or {}), **self._authorization()},
                redirect=False,
                preload_content=False,
            )
            return HttpResponse(response.status, self._body(response, give_up))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unavailable(f"{self.url} does not answer: {error}") from error

    def _body(self, response: urllib3.BaseHTTPResponse, give_up: float) -> bytes:
        try:
            return b"".join(self._chunks(response, give_up))
        except BaseException:
            response.close()  # the rest must not be read as the next answer
            raise
        finally:
            response.release_conn()

    def _chunks(self, response: urllib3.BaseHTTPResponse, give_up: float) -> Iterator[bytes]:
        length = 0
        while chunk := response.read1(_CHUNK_BYTES):
            length += len(chunk)
            if length > self._max_bytes:
                raise Unavailable(f"{self.url} answers with more than {self._max_bytes} bytes")
            if time.monotonic() > give_up:
                raise Unavailable(f"{self.url} has not answered within {self._deadline_s:g} s")
            yield chunk

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        # Read each time: a token is renewed in its file, and the old token expires.
        return {"Authorization": f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}"}
