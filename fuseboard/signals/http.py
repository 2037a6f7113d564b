"""Ask another system over HTTP: Prometheus, Alertmanager.

An ask ends within its deadline, however slowly the answer trickles, and within its size. Nothing is tried again here:
whoever asks, asks regularly. Redirects are not followed: a token goes to the address that was given, and to no other.
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

_AT_ONCE: Final = 65_536
_HINTS: Final[Mapping[int, str]] = {
    401: ": it wants a token, or another one",
    403: ": this token may not ask",
    404: ": is the path of the URL right?",
}


class HttpResponse(NamedTuple):
    """What came back."""

    status: int
    body: bytes

    @property
    def hint(self) -> str:
        """What a status that helps nobody most likely means."""
        return f"answers {self.status}{_HINTS.get(self.status, '')}"


class HttpClient:
    """One address that is asked, over a few connections that are kept."""

    def __init__(
        self,
        url: str,
        token_file: Path | None = None,
        *,
        lanes: int = 1,
        max_bytes: int = 1_048_576,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Connect nothing yet.

        Raises:
            CannotStart: this is no URL.

        """
        if not url.startswith(("http://", "https://")):
            raise CannotStart(f"{url!r} is no URL to ask: give one such as http://prometheus.monitoring.svc:9090")
        self.url = url.rstrip("/")
        self._token_file = token_file
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._http = urllib3.PoolManager(maxsize=lanes, retries=False, timeout=deadline_s)

    def get(self, path: str, fields: Mapping[str, str] | None = None) -> HttpResponse:
        """Return the answer, whatever its status.

        Raises:
            Unavailable: there is none within the deadline, or it is too long.

        """
        give_up = time.monotonic() + self._deadline_s
        try:
            response = self._http.request(
                "GET", self.url + path, fields=fields, headers=self._headers(), redirect=False, preload_content=False
            )
            try:
                body = b"".join(self._chunks(response, give_up))
            except BaseException:
                response.close()  # what it would still say belongs to nobody
                raise
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unavailable(f"{self.url} does not answer: {error}") from error
        return HttpResponse(response.status, body)

    def close(self) -> None:
        """Give the connections up."""
        self._http.clear()

    def _chunks(self, response: urllib3.BaseHTTPResponse, give_up: float) -> Iterator[bytes]:
        length = 0
        while chunk := response.read1(_AT_ONCE):
            length += len(chunk)
            if length > self._max_bytes:
                raise Unavailable(f"{self.url} answers with more than {self._max_bytes} bytes")
            if time.monotonic() > give_up:
                raise Unavailable(f"{self.url} has not answered within {self._deadline_s:g} s")
            yield chunk

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        # Each time: whoever renews it writes it there, and the old one ends.
        return {"Authorization": f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}"}
