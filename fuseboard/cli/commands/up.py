"""``fuseboard up``: everything in one process, with an embedded Valkey and the local broker."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pkgutil
import signal
import sys
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

import click
from waitress.server import create_server

from fuseboard import logs, serving
from fuseboard.board.api import blueprint
from fuseboard.cli.console import Console
from fuseboard.cli.packages import eventsources, functions
from fuseboard.delivery.local_broker import LocalBroker
from fuseboard.delivery.relay import Relay
from fuseboard.delivery.triggers import manifests, read_triggers
from fuseboard.errors import CannotStart, Unavailable
from fuseboard.policy.files import load
from fuseboard.serving import apps as appss
from fuseboard.serving import in_process
from fuseboard.settings import Settings, user_state_dir
from fuseboard.stores.embedded import embedded_valkey
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from wsgiref.types import WSGIApplication

    from fuseboard.delivery.source import Watcher
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Store

HOST = "127.0.0.1"
THREADS = 16
LOG = "fuseboard.jsonl"
RELAY = "up"


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
    policies = load(path) if path is not None else ()
    with _state_dir() as state_dir, (state_dir / LOG).open("a", buffering=1, encoding="utf-8") as log:
        logs.configure(log)
        with _listening(port) as listen, embedded_valkey(state_dir) as redis_url:
            settings = Settings(
                redis_url=redis_url,
                kubeconfig=str(kubeconfig) if kubeconfig else "",
                state_dir=state_dir,
                policies=path,
                prometheus_url=prometheus,
                alertmanager_url=alertmanager,
            )
            _run(settings, policies, listen, port)


def _run(settings: Settings, policies: tuple[Policy, ...], listen: Any, port: int) -> None:  # noqa: ANN401  - a socket
    store, outbox, stop = open_store(settings.redis_url), open_outbox(settings.redis_url), Flag()
    # Without a file, whoever watches the cluster sees to the table.
    for key in store.apply(policies) if settings.policies is not None else ():
        click.secho(
            f"{key} left the table while its traffic is moved: put it back, or move the traffic by hand", fg="red"
        )
    apps: dict[str, WSGIApplication] = {
        name: serving.create_app(f"functions.{name}", settings) for name in names(functions)
    }
    broker = LocalBroker(
        read_triggers(manifests() / "base"),
        lambda name, message: in_process.call(apps[name], message),
        stop,
        Console(store).show,
    )
    surface: dict[str, WSGIApplication] = {f"/functions/{name}": app for name, app in apps.items()}
    watchers: list[Watcher] = [Relay(outbox, broker, RELAY)]
    for name in names(eventsources):
        new = import_module(f"eventsources.{name}").new
        if "sink" in signature(new).parameters:
            watchers.append(new(settings, broker))
        else:
            receiver = new(settings)
            surface[receiver.path] = appss.receiver_app(receiver, name)
    surface["/events"] = appss.ingress_app(outbox, outbox.check)
    threads = [Thread(target=each.run, args=(stop,), name=type(each).__name__) for each in watchers]
    root = appss.root_app(blueprint(store, outbox.ingested), partial(_check, store, threads))
    server = create_server(  # type: ignore[no-untyped-call]
        appss.mount(root, surface), sockets=[listen], threads=THREADS, ident=None, clear_untrusted_proxy_headers=True
    )
    _greet(policies, settings, port)
    with _running(threads, stop):
        server.run()


def names(package: ModuleType) -> list[str]:
    """Return the modules of a package: the folder is the registry."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def _greet(policies: tuple[Policy, ...], settings: Settings, port: int) -> None:
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


def _check(store: Store, threads: list[Thread]) -> None:
    """Do nothing if all is well.

    Raises:
        Unavailable: the store does not answer, or a part has ended, as only a bug makes one end.

    """
    store.check()
    ended = [thread.name for thread in threads if not thread.is_alive()]
    if ended:
        raise Unavailable(f"{', '.join(ended)} has ended: start again, and see the log")


@contextlib.contextmanager
def _running(threads: list[Thread], stop: Flag) -> Iterator[None]:
    """Run the threads until the block ends, by itself or by a signal."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def _state_dir() -> Iterator[Path]:
    """Make the state directory and hold its lock: two of us on one store would be one too many.

    Raises:
        CannotStart: it cannot be written, or somebody else has it.

    """
    path = user_state_dir()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise CannotStart(
            f"the state directory {path} cannot be written ({error.strerror}): set XDG_STATE_HOME to one that can"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"another `fuseboard up` uses {path}: end it, or set XDG_STATE_HOME to another directory for this one"
            ) from error
        yield path


@contextlib.contextmanager
def _listening(port: int) -> Iterator[Any]:
    """Take the port before anything else is started.

    Raises:
        CannotStart: somebody else has it.

    """
    import socket  # noqa: PLC0415  - its name is the better one for the variable below

    listen = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listen.bind((HOST, port))
    except OSError as error:
        listen.close()
        reason = os.strerror(error.errno or 0)
        raise CannotStart(
            f"port {port} on {HOST} cannot be had ({reason}): end who has it, or choose one with --port"
        ) from error
    with listen:
        yield listen
