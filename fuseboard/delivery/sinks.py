"""Where events go: a broker's ingress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from fuseboard.errors import InvalidInput, SinkUnavailable, Unavailable
from fuseboard.events.wire import encode
from fuseboard.http_client import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.events.event import Event

LANES: Final = 16
"""Connections that are kept: the relay and the clock have as many lanes."""
CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 30.0
"""An in-memory channel answers only when every function has: longer than ``delivery.timeout`` and its first retries."""

NEVER: Final = frozenset({400, 405, 413, 414, 415, 431})
"""Answers to a sender's mistake, which a retry cannot change. Further errors may pass, even 401 (contract, hop B)."""

_HINTS: Final[Mapping[int, str]] = {
    401: ": the broker does not accept this sender's token",
    403: ": the broker's policy does not let this sender in",
    404: ": there is no such broker, or it is not Ready: see `kubectl get broker`",
}


class Sink(Protocol):
    """Takes events."""

    def send(self, event: Event) -> None:
        """Hand an event over; when this returns, the sink is responsible for the event.

        Raises:
            InvalidInput: the sink will never take the event.
            SinkUnavailable: the sink may take the event later.

        """


class HttpSink:
    """A broker's ingress, or any HTTP address that takes CloudEvents."""

    def __init__(self, url: str, lanes: int = LANES) -> None:
        self._http = HttpClient(url, lanes=lanes, deadline_s=ANSWER_TIMEOUT_S, connect_s=CONNECT_TIMEOUT_S)
        self._url = url

    def send(self, event: Event) -> None:
        """See ``Sink.send``."""
        message = encode(event)
        try:
            answer = self._http.post(message.body, message.headers)
        except Unavailable as error:
            raise SinkUnavailable(str(error)) from error
        if answer.status in NEVER:
            raise InvalidInput(f"{self._url} answers {answer.status} to {event.type} {event.id}: it will never take it")
        if not answer.is_success:
            hint = _HINTS.get(answer.status, "")
            raise SinkUnavailable(f"{self._url} answers {answer.status}{hint}")

    def close(self) -> None:
        """Close the connections that were kept."""
        self._http.close()
