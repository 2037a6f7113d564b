"""The endpoints for the kubelet and Prometheus: liveness, readiness, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response

from fuseboard import metrics
from fuseboard.errors import Unavailable
from fuseboard.serving.contract import problem

if TYPE_CHECKING:
    from collections.abc import Callable


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
