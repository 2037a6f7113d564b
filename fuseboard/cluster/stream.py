"""An answer that goes on: lines, as they come, until it ends or falls silent.

A connection can be half open: no byte comes, and no end. Python's Kubernetes client then waits for ever
(kubernetes-client/python#2462). Here the silence has a limit, and another thread can end the wait.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from fuseboard.errors import ClusterUnavailable, Stalled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""An object of the cluster has at most 1.5 MiB (etcd's own limit): a longer line is none."""

_AT_ONCE: Final = 65_536


class Stream:
    """Lines of one answer; one thread reads, any may end it."""

    def __init__(self, what: str, response: BaseHTTPResponse) -> None:
        """``what`` was asked for; it begins every message."""
        self._what = what
        self._response = response
        self._is_ended = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield line after line.

        Raises:
            Stalled: nothing has come for too long.
            ClusterUnavailable: the connection broke, or this is no stream of lines.

        """
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, lines)
            if len(rest) > MAX_LINE_BYTES:
                raise ClusterUnavailable(f"{self._what}: a line without an end: what answers here?")
        if rest.strip() and not self._is_ended:
            raise ClusterUnavailable(f"{self._what}: the stream ended in the middle of a line")

    def end(self) -> None:
        """Let the reader come to an end now; from any thread."""
        self._is_ended = True
        with contextlib.suppress(ValueError, RuntimeError, OSError, AttributeError):  # it has ended by itself
            self._response.shutdown()

    def close(self) -> None:
        """Give the connection up: what it would still say belongs to nobody."""
        with contextlib.suppress(OSError):
            self._response.close()

    def _chunks(self) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError, ReadTimeoutError  # noqa: PLC0415  - only who watches pays for it

        try:
            yield from self._response.stream(_AT_ONCE)
        except ReadTimeoutError as error:
            raise Stalled(f"{self._what}: not a byte for too long: the connection is taken to be dead") from error
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            if not self._is_ended:
                raise ClusterUnavailable(f"{self._what}: the stream broke: {error}") from error
