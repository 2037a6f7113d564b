"""``fuseboard up``: everything in one process, with an embedded Valkey and the local broker."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from waitress.server import create_server

from fuseboard import logs
from fuseboard.cli.host import HOST, listening, locked_state_dir
from fuseboard.cli.one_process import wire
from fuseboard.delivery.connections import Connections
from fuseboard.errors import CannotStart
from fuseboard.policy.files import load_table
from fuseboard.settings import Settings
from fuseboard.stores.embedded import embedded_valkey

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from fuseboard.policy.spec import Policy

THREADS: Final = 16
LOG: Final = "fuseboard.jsonl"


@click.command()
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="File of CircuitBreaker documents: the breaker table. Without it, the CircuitBreakers of the cluster are.",
)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port on 127.0.0.1.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="Act on this cluster. Without it every step is rehearsed: planned, printed and journaled, not sent.",
)
@click.option("--prometheus", default="", metavar="URL", help="Ask this Prometheus for the load of targets.")
@click.option(
    "--alertmanager",
    default="",
    metavar="URL",
    help="Ask this Alertmanager (or several, with commas) whether alerts that hold still fire.",
)
def up(path: Path | None, port: int, kubeconfig: Path | None, prometheus: str, alertmanager: str) -> None:
    """Run sources, functions, broker and store here, until Ctrl-C.

    State is kept in $XDG_STATE_HOME/fuseboard (~/.local/state/fuseboard) and survives a restart.

    \b
    Examples:
      fuseboard up -f examples/01-one-alert/breakers.yaml
      fuseboard up -f breakers.yaml --port 9000 --kubeconfig ~/.kube/staging
      fuseboard up -f breakers.yaml --prometheus http://127.0.0.1:9090 --alertmanager http://127.0.0.1:9093
      fuseboard up --kubeconfig ~/.kube/staging
    """
    if path is None and kubeconfig is None:
        raise CannotStart(
            "no breaker table: give a file with -f, such as examples/01-one-alert/breakers.yaml, or --kubeconfig FILE "
            "to use the CircuitBreakers of that cluster"
        )
    policies = load_table(path) if path is not None else ()
    with locked_state_dir() as state_dir, (state_dir / LOG).open("a", buffering=1, encoding="utf-8") as log:
        logs.configure(log)
        with listening(port) as listener, embedded_valkey(state_dir) as redis_url:
            settings = Settings(
                redis_url=redis_url,
                kubeconfig=str(kubeconfig) if kubeconfig else "",
                state_dir=state_dir,
                policies=path,
                prometheus_url=prometheus,
                alertmanager_url=alertmanager,
            )
            with Connections(settings) as connections:
                _run(connections, policies, listener, port)


def _run(connections: Connections, policies: Sequence[Policy], listener: socket.socket, port: int) -> None:
    # Without a file, the table is the cluster's, and a source follows it.
    if connections.settings.policies is not None:
        _apply(connections, policies)
    process = wire(connections)
    server = create_server(  # type: ignore[no-untyped-call]
        process.app, sockets=[listener], threads=THREADS, ident=None, clear_untrusted_proxy_headers=True
    )
    _greet(connections.settings, policies, port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with process.running():
        server.run()


def _apply(connections: Connections, policies: Sequence[Policy]) -> None:
    for key in connections.store.apply(policies):
        click.secho(
            f"{key} left the table while its traffic is moved: put it back, or move the traffic by hand", fg="red"
        )


def _greet(settings: Settings, policies: Sequence[Policy], port: int) -> None:
    acting = (
        f"acts on the cluster of {settings.kubeconfig}" if settings.kubeconfig else "rehearses: no cluster is touched"
    )
    click.secho(f"Fuseboard on http://{HOST}:{port}  ({acting})", bold=True)
    if settings.policies is None:
        click.echo("  The breaker table is the cluster's: kubectl get circuitbreakers -A")
    for policy in policies:
        standby = policy.spec.standby
        behind = f", standby {standby.name}" if standby else ", no standby"
        click.echo(f"  {policy.key}  {policy.spec.mode}  {policy.spec.target.kind}/{policy.spec.target.name}{behind}")
    click.echo(
        f"  Alertmanager's webhook: http://{HOST}:{port}/alertmanager   log: {settings.state_dir}/{LOG}   end: Ctrl-C"
    )
