"""WSGI apps of functions, receivers and watchers."""

from __future__ import annotations

from threading import Event as Flag
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from fuseboard import metrics
from fuseboard.delivery.loops import Supervised
from fuseboard.delivery.source import Notification
from fuseboard.errors import FuseboardError, TooLarge
from fuseboard.events.types import ANY, DATA_TYPES
from fuseboard.events.wire import MAX_EVENT_BYTES, decode, encode
from fuseboard.serving.contract import Poison, add_error_pages, done, failed
from fuseboard.serving.probes import add_probes
from fuseboard.stores.records import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Blueprint

    from fuseboard.delivery.function import Function
    from fuseboard.delivery.source import Receiver, Watcher
    from fuseboard.events.event import Event
    from fuseboard.stores import Outbox


def function_app(function: Function, name: str) -> Flask:
    """Return an app that hands CloudEvents to a function."""
    known = DATA_TYPES if function.consumes != ANY else ()
    poison = Poison()

    def handle() -> Response:
        event = decode(_attributes(), _body(MAX_EVENT_BYTES), known)
        if function.consumes != ANY and event.type not in function.consumes:
            metrics.count(name, "ignored")
            return done()
        try:
            reply = function.handle(event)
        except FuseboardError:
            raise
        except Exception as error:  # noqa: BLE001  - a bug must not come back eleven times
            return poison.answer(event, error)
        metrics.count(name, "replied" if reply else "handled")
        return _reply(reply) if reply else done()

    return _app(name, handle, function.check)


def receiver_app(receiver: Receiver, name: str) -> Flask:
    """Return an app that hands notifications to a receiver."""

    def receive() -> Response:
        body = _body(receiver.max_body_bytes)
        receiver.receive(Notification(body, request.content_type or "", request.args.to_dict()))
        metrics.count(name, "received")
        return done()

    app = _app(name, receive, receiver.check)
    app.add_url_rule(receiver.path, "receive", receive, methods=["POST"], provide_automatic_options=False)
    return app


def ingress_app(outbox: Outbox, check: Callable[[], None]) -> Flask:
    """Return an app that takes any CloudEvent, as a broker's ingress does; the event is on disk before the answer."""

    def take_in() -> Response:
        event = decode(_attributes(), _body(MAX_EVENT_BYTES), DATA_TYPES)
        _refuse_undeliverable(event)
        entry = Entry(kind="ingest", event=event.name, type=event.type, reason="POST /events")
        outbox.append([event], entry)
        metrics.count("ingress", "received")
        return done()

    return _app("ingress", take_in, check)


def root_app(board: Blueprint, check: Callable[[], None]) -> Flask:
    """Return the app at the top: the board, and the probes of the whole."""
    app = Flask("fuseboard", static_folder=None)
    app.register_blueprint(board)
    add_probes(app, check)
    app.register_error_handler(FuseboardError, lambda error: failed("board", error))
    add_error_pages(app, "board")
    return app


def _refuse_undeliverable(event: Event) -> None:
    """Refuse an event that no function would accept once it is encoded again: in the outbox it would block its breaker.

    Raises:
        InvalidInput: encoded again, the event is invalid.
        TooLarge: encoded again, the event is over the limit.

    """
    message = encode(event)
    if len(message.body) > MAX_EVENT_BYTES:
        raise TooLarge(f"the event is over {MAX_EVENT_BYTES} bytes when it is sent on: write its numbers shorter")
    decode(message.headers, message.body)


def mount(root: Flask, apps: Mapping[str, WSGIApplication]) -> WSGIApplication:
    """Return the root app with further apps below some paths."""
    return DispatcherMiddleware(root.wsgi_app, {path: _rooted(app) for path, app in apps.items()})


def _rooted(app: WSGIApplication) -> WSGIApplication:
    """Let ``/alertmanager`` be the app's ``/``: without, Flask would redirect to ``/alertmanager/``."""

    def rooted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return app({**environ, "PATH_INFO": environ.get("PATH_INFO") or "/"}, start_response)

    return rooted


def _app(name: str, post: Callable[[], Response], check: Callable[[], None]) -> Flask:
    app = Flask(name, static_folder=None)
    app.add_url_rule("/", "post", post, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule("/", "options", _options, methods=["OPTIONS"], provide_automatic_options=False)
    add_probes(app, check)
    app.register_error_handler(FuseboardError, lambda error: failed(name, error))
    add_error_pages(app, name)
    return app


def watcher_app(watcher: Watcher, name: str) -> Flask:
    """Start a watcher in a thread of its own, and return an app with its probes."""
    thread = Supervised(name, watcher.run, Flag()).start()

    def check() -> None:
        thread.check()
        watcher.check()

    app = Flask(name, static_folder=None)
    add_probes(app, check, thread.check)
    add_error_pages(app, name)
    return app


def _attributes() -> dict[str, str]:
    """Return the headers of the request that can be attributes of an event."""
    found = {
        name[5:].replace("_", "-").lower(): value
        for name, value in request.environ.items()
        if name.startswith("HTTP_CE_")
    }
    return {**found, "content-type": request.environ.get("CONTENT_TYPE", "")}


def _body(limit: int) -> bytes:
    """Return the body of the request.

    Raises:
        TooLarge: the body is over the limit, with or without a Content-Length.

    """
    request.max_content_length = limit
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise TooLarge(f"the body is over {limit} bytes: send less at once (Alertmanager: max_alerts)") from error
    return body


def _reply(event: Event) -> Response:
    message = encode(event)
    return Response(message.body, 200, headers=dict(message.headers))


def _options() -> Response:
    # The handshake of CloudEvents' webhook specification, section 4: a number, and no origin where none was set.
    return Response(status=200, headers={"Allow": "POST, OPTIONS", "WebHook-Allowed-Rate": "1000"})
