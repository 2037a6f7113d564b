"""Call an app of this process as if over the wire."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from werkzeug.test import run_wsgi_app

from fuseboard.delivery.local_broker import FunctionAnswer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from cloudevents.core.bindings.http import HTTPMessage


def call(app: WSGIApplication, message: HTTPMessage) -> FunctionAnswer:
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
    return FunctionAnswer(int(status.split()[0]), {name.lower(): value for name, value in answered}, b"".join(chunks))
