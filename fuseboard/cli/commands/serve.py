"""``fuseboard serve``: a single module, in the way of Knative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from gunicorn.app.base import BaseApplication

from fuseboard.cli import packages
from fuseboard.errors import CannotStart
from fuseboard.serving import create_app

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIApplication

# Outer must exceed inner (HTTP contract, timeouts): a function's deadline is 8 s, the broker's timeout 10 s.
_GUNICORN: Final[Mapping[str, object]] = {
    "worker_class": "gthread",
    "workers": 1,
    "threads": 2,
    "timeout": 15,
    "graceful_timeout": 20,
    "control_socket_disable": True,  # the kubelet alone steers a pod, and its user has no home to put the socket into
}


class _Server(BaseApplication):
    """gunicorn in this process: its command line would put the working folder first on the import path."""

    def __init__(self, module: str, bind: str) -> None:
        self._module, self._bind = module, bind
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Use these options alone: no file of the working folder, and no GUNICORN_CMD_ARGS."""
        for name, value in {**_GUNICORN, "bind": self._bind, "default_proc_name": self._module}.items():
            self.cfg.set(name, value)  # type: ignore[union-attr]

    def load(self) -> WSGIApplication:
        """Make the app; the worker calls this after the fork, so that connections are its own."""
        return create_app(self._module)


@click.command()
@click.argument("module")
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 in a container.")
def serve(module: str, port: int, host: str) -> None:
    """Serve a MODULE by HTTP, like its Knative Service.

    MODULE is functions.NAME, eventsources.NAME or fuseboard.delivery.relay. The environment has the addresses of
    the store and the broker: FUSEBOARD_REDIS_URL, K_SINK, FUSEBOARD_STATE_DIR, FUSEBOARD_KUBECONFIG,
    FUSEBOARD_PROMETHEUS_URL, FUSEBOARD_ALERTMANAGER_URL.

    \b
    Example:
      FUSEBOARD_REDIS_URL=redis://127.0.0.1:6379 fuseboard serve functions.breaker --port 8081
    """
    if not packages.exists(module):
        raise CannotStart(f"there is no module {module}: try functions.breaker or eventsources.alertmanager")
    _Server(module, f"{host}:{port}").run()  # type: ignore[no-untyped-call]
