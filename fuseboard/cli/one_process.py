"""All modules in one process: functions behind the local broker, sources before the broker, and the API."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING, Final

from fuseboard.board.api import blueprint
from fuseboard.cli.console import Console
from fuseboard.cli.packages import eventsources, functions
from fuseboard.delivery.function import Function
from fuseboard.delivery.local_broker import LocalBroker
from fuseboard.delivery.loops import Supervised
from fuseboard.delivery.modules import make, names
from fuseboard.delivery.relay import Relay
from fuseboard.delivery.source import Receiver, Watcher
from fuseboard.delivery.triggers import manifests, read_triggers
from fuseboard.serving.apps import function_app, ingress_app, mount, receiver_app, root_app
from fuseboard.serving.in_process import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

    from fuseboard.delivery.connections import Connections

RELAY: Final = "up"
"""The relay's name in the outbox: the same after each restart, under any host name."""


@dataclass(frozen=True, slots=True)
class OneProcess:
    """An installation that is wired and not yet started."""

    app: WSGIApplication
    threads: tuple[Supervised, ...]
    calls: InProcess
    stop: Flag

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the watchers until the block ends."""
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in self.threads:
                thread.join()
            self.calls.close()


def wire(connections: Connections) -> OneProcess:
    """Wire the modules of ``functions`` and ``eventsources``, and set the sink of the connections.

    Raises:
        CannotStart: a module, a setting or a Trigger cannot be used.

    """
    stop = Flag()
    made = {name: make(f"functions.{name}", connections) for name in names(functions)}
    apps: dict[str, WSGIApplication] = {
        name: function_app(each, name) for name, each in made.items() if isinstance(each, Function)
    }
    calls = InProcess(apps)
    triggers = read_triggers(manifests() / "base")
    broker = LocalBroker(triggers, calls.post, stop, Console(connections.store).show)
    connections.sink = broker
    sources = {name: make(f"eventsources.{name}", connections) for name in names(eventsources)}
    watchers: dict[str, Watcher] = {"relay": Relay(connections.outbox.queue, broker, RELAY)}
    watchers |= {name: each for name, each in sources.items() if isinstance(each, Watcher)}
    threads = tuple(Supervised(name, watcher.run, stop) for name, watcher in watchers.items())
    surface: dict[str, WSGIApplication] = {f"/functions/{name}": app for name, app in apps.items()}
    surface |= {each.path: receiver_app(each, name) for name, each in sources.items() if isinstance(each, Receiver)}
    surface["/events"] = ingress_app(connections.outbox, connections.outbox.check)
    root = root_app(blueprint(connections.store, connections.outbox.ingested), partial(_check, connections, threads))
    return OneProcess(mount(root, surface), threads, calls, stop)


def _check(connections: Connections, threads: tuple[Supervised, ...]) -> None:
    """Do nothing if every connection answers and every watcher runs.

    Raises:
        Unavailable: a connection or a watcher does not.

    """
    connections.check()
    for thread in threads:
        thread.check()
