"""Serve functions, receivers and watchers as WSGI apps.

``gunicorn 'fuseboard.serving:create_app("functions.breaker")'`` serves one module as Knative calls it. The HTTP
contract has these answers: 202 without a body for a handled event, 200 with a CloudEvent for a reply, 409 while another
caller does the same work, 503 to try again, and 400, 413, 415 or 422 for an event that can never be handled. Never a
redirect, and on success no body but an event: a broker takes the rest for failures and sends the event again
 (Knative Eventing, ``filter_handler.go``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseboard import logs
from fuseboard.delivery.connections import Connections
from fuseboard.delivery.function import Function
from fuseboard.delivery.modules import make
from fuseboard.delivery.source import Receiver
from fuseboard.serving.apps import function_app, receiver_app, watcher_app
from fuseboard.settings import from_environment

if TYPE_CHECKING:
    from flask import Flask

    from fuseboard.settings import Settings


def create_app(module: str, settings: Settings | None = None) -> Flask:
    """Return the app of ``functions.NAME``, ``eventsources.NAME`` or ``fuseboard.delivery.relay``.

    Without settings, those of the environment hold, and logs go to standard output.

    Raises:
        CannotStart: a setting is missing, or the module cannot be served.

    """
    if settings is None:
        logs.configure()
        settings = from_environment()
    made, name = make(module, Connections(settings)), module.rpartition(".")[2]
    if isinstance(made, Function):
        return function_app(made, name)
    return receiver_app(made, name) if isinstance(made, Receiver) else watcher_app(made, name)
