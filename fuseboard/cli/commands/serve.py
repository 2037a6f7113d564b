"""``fuseboard serve``: one module, as Knative runs it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Final

import click

from fuseboard.errors import CannotStart

# Outer must exceed inner (HTTP contract, timeouts): a function's deadline is 8 s, the broker's timeout 10 s.
_GUNICORN: Final = (
    "--worker-class=gthread",
    "--workers=1",
    "--threads=2",
    "--timeout=15",
    "--graceful-timeout=20",
    "--no-control-socket",  # nobody is to steer it but the kubelet, and a pod's user has no home to put it into
)


@click.command()
@click.argument("module")
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 in a container.")
def serve(module: str, port: int, host: str) -> None:
    """Serve one MODULE by HTTP, as its Knative Service does.

    MODULE is functions.NAME, eventsources.NAME or fuseboard.delivery.relay. Where it finds the store and the broker
    stands in the environment: FUSEBOARD_REDIS_URL, K_SINK, FUSEBOARD_STATE_DIR, FUSEBOARD_KUBECONFIG,
    FUSEBOARD_PROMETHEUS_URL, FUSEBOARD_ALERTMANAGER_URL.

    \b
    Example:
      FUSEBOARD_REDIS_URL=redis://127.0.0.1:6379 fuseboard serve functions.breaker --port 8081
    """
    if find_spec(module.partition(".")[0]) is None or find_spec(module) is None:
        raise CannotStart(f"there is no module {module}: try functions.breaker or eventsources.alertmanager")
    app = f'fuseboard.serving:create_app("{module}")'
    arguments = ["gunicorn", *_GUNICORN, f"--bind={host}:{port}", app]
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606  - gunicorn takes over this process
