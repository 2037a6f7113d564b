"""The lines of a watch stream, until it ends or falls silent.

A connection can be half open: neither a byte nor an end arrives. Python's Kubernetes client then waits for ever
(kubernetes-client/python#2462). Here a silence has a limit, and another thread can end the wait.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from fuseboard.errors import ClusterUnavailable, Stalled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""An object has at most 1.5 MiB (etcd's limit), so a longer line is no object."""

_AT_ONCE: Final = 65_536


class Stream:
    """The lines of a response; one thread reads them, any thread may end the stream."""

    def __init__(self, call: str, response: BaseHTTPResponse) -> None:
        """Read from a response; ``call`` is method and path, which begin every message."""
        self._call = call
        self._response = response
        self._is_ended = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines.

        Raises:
            Stalled: the stream was silent for too long.
            ClusterUnavailable: the connection broke, or the response is no stream of lines.

        """
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, lines)
            if len(rest) > MAX_LINE_BYTES:
                raise ClusterUnavailable(f"{self._call}: a line has no end: check the server in the kubeconfig")
        if rest.strip() and not self._is_ended:
            raise ClusterUnavailable(f"{self._call}: the stream ended in the middle of a line")

    def end(self) -> None:
        """End the stream, which lets the reader stop; any thread may call this."""
        self._is_ended = True
        with contextlib.suppress(ValueError, RuntimeError, OSError, AttributeError):  # the stream has ended already
            self._response.shutdown()

    def close(self) -> None:
        """Close the connection without reading its rest."""
        with contextlib.suppress(OSError):
            self._response.close()

    def _chunks(self) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError, ReadTimeoutError  # noqa: PLC0415  - for processes with a watch only

        try:
            yield from self._response.stream(_AT_ONCE)
        except ReadTimeoutError as error:
            raise Stalled(f"{self._call}: silent for too long: the connection counts as dead") from error
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            if not self._is_ended:
                raise ClusterUnavailable(f"{self._call}: the stream broke: {error}") from error
