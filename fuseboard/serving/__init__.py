"""Turn a function, a receiver or a watcher into a WSGI app: the only HTTP file.

``gunicorn 'fuseboard.serving:create_app("functions.breaker")'`` serves one as Knative calls it. The answers are those
of the HTTP contract: 202 and no body for *done*, 200 with a CloudEvent for *done, and this is my reply*, 409 for *still
at work*, 503 for *try again*, 400, 413, 415 or 422 for *never will*. Never a redirect, and never a body that is no
event on a success: a broker takes that for a failure and sends the event again (Knative Eventing,
``filter_handler.go``).
"""

from __future__ import annotations

import io
from collections import Counter
from importlib import import_module
from inspect import signature
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import run_wsgi_app

from fuseboard import logs, metrics
from fuseboard.delivery.function import Answer
from fuseboard.delivery.sinks import HttpSink
from fuseboard.delivery.source import Notification
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
from fuseboard.events.types import ANY, KINDS, MAX_EVENT_BYTES, Event, decode, encode, encode_data
from fuseboard.settings import from_environment
from fuseboard.stores import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from cloudevents.core.bindings.http import HTTPMessage
    from flask import Blueprint

    from fuseboard.delivery.function import Function
    from fuseboard.delivery.source import Outbox, Receiver, Watcher
    from fuseboard.settings import Settings

RETRY_AFTER_S: Final = "2"
POISON_AFTER: Final = 3
"""Equal exceptions on one event until it is poison: then it goes to the dead letters instead of coming again."""

_STATUS: Final[Mapping[type[FuseboardError], int]] = {
    TooLarge: 413,
    WrongContentType: 415,
    InvalidInput: 400,
    Busy: 409,
    Conflict: 503,
    Unavailable: 503,
    # Nothing will be done with these, however often they come: accepted, and on the record.
    NotEnrolled: 202,
    RecordCorrupt: 202,
}


def create_app(module: str, settings: Settings | None = None) -> Flask:
    """Return the app of ``functions.NAME``, ``eventsources.NAME`` or ``fuseboard.delivery.relay``."""
    if settings is None:
        logs.configure()
        settings = from_environment()
    new, name = import_module(module).new, module.rpartition(".")[2]
    if "sink" in signature(new).parameters:
        return watcher_app(new(settings, HttpSink(settings.need_sink())), name)
    served = new(settings)
    return function_app(served, name) if hasattr(served, "handle") else receiver_app(served, name)


def function_app(function: Function, name: str) -> Flask:
    """Return an app that hands CloudEvents to a function."""
    known = KINDS if function.consumes != ANY else ()
    poison = _Poison()

    def handle() -> Response:
        event = decode(_attributes(), _body(MAX_EVENT_BYTES), known)
        if function.consumes != ANY and event.type not in function.consumes:
            metrics.count(name, "ignored")
            return _done()
        try:
            reply = function.handle(event)
        except FuseboardError:
            raise
        except Exception as error:  # noqa: BLE001  - a bug must not come back eleven times
            return poison.answer(event, error)
        metrics.count(name, "replied" if reply else "handled")
        return _reply(reply) if reply else _done()

    return _app(name, handle, function.check)


def receiver_app(receiver: Receiver, name: str) -> Flask:
    """Return an app that hands notifications to a receiver."""

    def receive() -> Response:
        body = _body(receiver.max_body_bytes)
        receiver.receive(Notification(body, request.content_type or "", request.args.to_dict()))
        metrics.count(name, "received")
        return _done()

    app = _app(name, receive, receiver.check)
    app.add_url_rule(receiver.path, "receive", receive, methods=["POST"], provide_automatic_options=False)
    return app


def ingress_app(outbox: Outbox, check: Callable[[], None]) -> Flask:
    """Return an app that takes any CloudEvent, as a broker's ingress does; it is on disk when it answers."""

    def take_in() -> Response:
        event = decode(_attributes(), _body(MAX_EVENT_BYTES), KINDS)
        _refuse_undeliverable(event)
        entry = Entry(kind="ingest", event=f"{event.source} {event.id}", type=event.type, reason="POST /events")
        outbox.append([event], entry)
        metrics.count("ingress", "received")
        return _done()

    return _app("ingress", take_in, check)


def root_app(board: Blueprint, check: Callable[[], None]) -> Flask:
    """Return the app at the top: the board, and the probes of the whole."""
    app = Flask("fuseboard", static_folder=None)
    app.register_blueprint(board)
    add_probes(app, check)
    app.register_error_handler(FuseboardError, lambda error: _failed("board", error))
    add_error_pages(app, "board")
    return app


def _refuse_undeliverable(event: Event) -> None:
    """Refuse at the door what no function would take when it is sent on: accepted, it would be in everybody's way.

    Raises:
        InvalidInput: as it is sent on, it is no event.
        TooLarge: as it is sent on, it is larger than it came.

    """
    message = encode(event)
    if len(message.body) > MAX_EVENT_BYTES:
        raise TooLarge(f"the event is over {MAX_EVENT_BYTES} bytes when it is sent on: write its numbers shorter")
    decode(message.headers, message.body)


def mount(root: Flask, apps: Mapping[str, WSGIApplication]) -> WSGIApplication:
    """Return one app with others below some of its paths."""
    return DispatcherMiddleware(root.wsgi_app, {path: _rooted(app) for path, app in apps.items()})


def _rooted(app: WSGIApplication) -> WSGIApplication:
    """Let ``/alertmanager`` be the app's ``/``: without, Flask would redirect to ``/alertmanager/``."""

    def rooted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return app({**environ, "PATH_INFO": environ.get("PATH_INFO") or "/"}, start_response)

    return rooted


def call(app: WSGIApplication, message: HTTPMessage) -> Answer:
    """Post a message to an app of this process, as if over the wire."""
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in message.headers.items()}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": message.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(message.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(message.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }
    chunks, status, answered = run_wsgi_app(app, environ)
    return Answer(int(status.split()[0]), {name.lower(): value for name, value in answered}, b"".join(chunks))


def problem(status: int, detail: str) -> Response:
    """Return an error as RFC 9457 wants it; it travels in a dead letter, so it holds no secret and no trace."""
    body = encode_data({"status": status, "detail": detail})
    response = Response(body, status, content_type="application/problem+json")
    if status in (409, 503):
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _app(name: str, post: Callable[[], Response], check: Callable[[], None]) -> Flask:
    app = Flask(name, static_folder=None)
    app.add_url_rule("/", "post", post, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule("/", "options", _options, methods=["OPTIONS"], provide_automatic_options=False)
    add_probes(app, check)
    app.register_error_handler(FuseboardError, lambda error: _failed(name, error))
    add_error_pages(app, name)
    return app


def add_probes(app: Flask, ready: Callable[[], None], alive: Callable[[], None] = lambda: None) -> None:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics``."""
    app.add_url_rule("/healthz", "healthz", lambda: _probed(alive))
    app.add_url_rule("/readyz", "readyz", lambda: _probed(ready))
    app.add_url_rule("/metrics", "metrics", lambda: Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE))


def _probed(check: Callable[[], None]) -> Response:
    try:
        check()
    except Unavailable as error:
        return problem(503, str(error))
    return Response("ok\n", content_type="text/plain")


def add_error_pages(app: Flask, name: str) -> None:
    """Answer what the web framework refuses, and bugs, as the contract wants it."""

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


class _Poison:
    """Remembers events that made the function fail in the same way before."""

    def __init__(self, remembered: int = 1024) -> None:
        self._lock = Lock()
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._remembered = remembered

    def answer(self, event: Event, error: Exception) -> Response:
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


def watcher_app(watcher: Watcher, name: str) -> Flask:
    """Return an app with the probes of something that looks for itself, in a thread of its own."""
    thread = Thread(target=watcher.run, args=(Flag(),), name=name, daemon=True)
    thread.start()

    def alive() -> None:
        if not thread.is_alive():
            raise Unavailable(f"{name} has stopped")

    def check() -> None:
        alive()
        watcher.check()

    app = Flask(name, static_folder=None)
    add_probes(app, check, alive)
    add_error_pages(app, name)
    return app


def _attributes() -> dict[str, str]:
    """Return the headers of the request that can make it an event."""
    found = {
        name[5:].replace("_", "-").lower(): value
        for name, value in request.environ.items()
        if name.startswith("HTTP_CE_")
    }
    return {**found, "content-type": request.environ.get("CONTENT_TYPE", "")}


def _body(limit: int) -> bytes:
    """Return the body of the request.

    Raises:
        TooLarge: it is over the limit, whether or not its length was told.

    """
    request.max_content_length = limit
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise TooLarge(f"the body is over {limit} bytes: send less at once (Alertmanager: max_alerts)") from error
    return body


def _failed(name: str, error: FuseboardError) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    metrics.count(name, type(error).__name__)
    logs.logger().warning("serving.refused", function=name, status=status, error=str(error))
    return _done() if status == 202 else problem(status, str(error))  # noqa: PLR2004  - HTTP's own numbers


def _done() -> Response:
    response = Response(status=202)
    del response.headers["Content-Type"]
    return response


def _reply(event: Event) -> Response:
    message = encode(event)
    return Response(message.body, 200, headers=dict(message.headers))


def _options() -> Response:
    # The handshake of CloudEvents' webhook specification, section 4: a number, and no origin that nobody has set.
    return Response(status=200, headers={"Allow": "POST, OPTIONS", "WebHook-Allowed-Rate": "1000"})
