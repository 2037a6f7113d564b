"""Turn a function, a receiver or a watcher into a WSGI app: the only HTTP file.

``gunicorn 'fuseboard.serving:create_app("functions.breaker")'`` serves one as Knative calls it. The answers are those
of the HTTP contract: 202 and no body for *done*, 200 with a CloudEvent for *done, and this is my reply*, 409 for *still
at work*, 503 for *try again*, 400, 413, 415 or 422 for *never will*. Never a redirect, and never a body that is no
event on a success: a broker takes that for a failure and sends the event again (Knative Eventing,
``filter_handler.go``).
"""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING

from fuseboard import logs
from fuseboard.delivery.sinks import HttpSink
from fuseboard.serving.apps import function_app, receiver_app, watcher_app
from fuseboard.settings import from_environment

if TYPE_CHECKING:
    from flask import Flask

    from fuseboard.settings import Settings


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
