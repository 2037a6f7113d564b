"""Errors as answers: the HTTP contract."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from fuseboard import logs, metrics
from fuseboard.errors import (
    Busy,
    Conflict,
    FuseboardError,
    InvalidInput,
    NotEnrolled,
    RecordCorrupt,
    TooLarge,
    Unavailable,
    WrongContentType,
)
from fuseboard.events.json import encode_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.events.event import Event

RETRY_AFTER_S: Final = "2"

POISON_AFTER: Final = 3
"""Equal exceptions on an event until it is poison, and goes to the dead letters instead of being retried."""

_STATUS: Final[Mapping[type[FuseboardError], int]] = {
    TooLarge: 413,
    WrongContentType: 415,
    InvalidInput: 400,
    Busy: 409,
    Conflict: 503,
    Unavailable: 503,
    # Retries cannot help: these are accepted, and on the record.
    NotEnrolled: 202,
    RecordCorrupt: 202,
}


def problem(status: int, detail: str) -> Response:
    """Return an error by RFC 9457, without secrets or traces: the body travels in a dead letter."""
    body = encode_data({"status": status, "detail": detail})
    response = Response(body, status, content_type="application/problem+json")
    if status in (409, 503):
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def add_error_pages(app: Flask, name: str) -> None:
    """Answer requests that the web framework refuses, and bugs, by the contract."""

    def refused(error: HTTPException) -> Response:
        response = problem(error.code or 500, error.description or "")
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    def bug(error: Exception) -> Response:
        logs.logger().exception("serving.bug", function=name, exc_info=error)
        metrics.count(name, "bug")
        return Response(status=500)

    app.register_error_handler(HTTPException, refused)
    app.register_error_handler(Exception, bug)


class Poison:
    """Remembers events that made the function fail in the same way before."""

    def __init__(self, remembered: int = 1024) -> None:
        self._lock = Lock()
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._remembered = remembered

    def answer(self, event: Event, error: Exception) -> Response:
        """Return 500, or 422 once the event has failed often enough in the same way."""
        key = (event.source, event.id, repr(error))
        with self._lock:
            if len(self._seen) >= self._remembered:
                self._seen.clear()
            self._seen[key] += 1
            times = self._seen[key]
        logs.logger().exception("function.bug", type=event.type, id=event.id, times=times, exc_info=error)
        if times < POISON_AFTER:
            return Response(status=500)
        return problem(422, f"this event made the function fail {times} times in the same way")


def failed(name: str, error: FuseboardError) -> Response:
    """Return the answer of the HTTP contract to an error, and log it."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    metrics.count(name, type(error).__name__)
    logs.logger().warning("serving.refused", function=name, status=status, error=str(error))
    return done() if status == 202 else problem(status, str(error))  # noqa: PLR2004  - HTTP's own numbers


def done() -> Response:
    """Return 202 without a body."""
    response = Response(status=202)
    del response.headers["Content-Type"]
    return response
