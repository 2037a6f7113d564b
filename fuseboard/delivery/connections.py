"""The connections of one process: store, outbox, cluster, sink, Prometheus, Alertmanager.

A module's ``new(connections)`` takes from here the connections that it needs. Each is opened when it is first used, so
a process connects to nothing that its modules do not use, and does not even import the client for it; and each is
opened once, however many modules share it.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from fuseboard.cluster import Writable
    from fuseboard.cluster.client import Kubernetes
    from fuseboard.delivery.sinks import Sink
    from fuseboard.http_client import HttpClient
    from fuseboard.settings import Settings
    from fuseboard.stores.checkpoints import RedisCheckpoints
    from fuseboard.stores.outbox import RedisOutbox
    from fuseboard.stores.redis import RedisStore

PROMETHEUS_LANES: Final = 8
"""Prometheus answers 20 queries at once (``--query.max-concurrency``): two replicas must leave room for more."""
ALERTMANAGER_MAX_BYTES: Final = 64 * 1024 * 1024


class _Closable(Protocol):
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Closable)


class Connections:
    """Opens each connection at its first use; not for several threads at once: a single thread wires the modules.

    The connections themselves are safe for threads. Opening a connection raises:
        CannotStart: its setting is missing or wrong, or the store could forget.
        StoreUnavailable: the store does not answer.
    """

    # The imports below stand in functions: the client for Redis takes 0.1 s and the one for Kubernetes 0.2 s to import,
    # which a cold start of a function that needs neither client must not pay.

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()
        self._checks: list[Callable[[], None]] = []

    @cached_property
    def store(self) -> RedisStore:
        """The breaker table and its records. Calls end within about a second, as decisions must."""
        from fuseboard.stores.redis import open_store  # noqa: PLC0415  - see above

        store = self._close_later(open_store(self.settings.need_redis()))
        self._checks.append(store.check)
        return store

    @cached_property
    def outbox(self) -> RedisOutbox:
        """The signals that the broker does not have yet. An append waits for the store's disk, so up to 4 s."""
        from fuseboard.stores.outbox import open_outbox  # noqa: PLC0415  - see above

        outbox = self._close_later(open_outbox(self.settings.need_redis()))
        self._checks.append(outbox.check)
        return outbox

    @cached_property
    def checkpoints(self) -> RedisCheckpoints:
        """The places where watches of Kubernetes Events go on after a restart."""
        from fuseboard.stores.checkpoints import open_checkpoints  # noqa: PLC0415  - see above

        return self._close_later(open_checkpoints(self.settings.need_redis()))

    @cached_property
    def cluster(self) -> Writable:
        """The cluster of the settings, or a rehearsal."""
        from fuseboard.cluster.client import Kubernetes  # noqa: PLC0415  - see above
        from fuseboard.cluster.config import open_cluster  # noqa: PLC0415  - see above

        cluster = open_cluster(self.settings)
        if isinstance(cluster, Kubernetes):
            self._close_later(cluster)
        self._checks.append(cluster.check)
        return cluster

    @property
    def kubernetes(self) -> Kubernetes | None:
        """The API server to watch; None in a rehearsal, which has no objects to watch."""
        from fuseboard.cluster.client import Kubernetes  # noqa: PLC0415  - see above

        return self.cluster if isinstance(self.cluster, Kubernetes) else None

    @cached_property
    def sink(self) -> Sink:
        """Where events go: the broker's address, unless ``up`` has set its local broker."""
        from fuseboard.delivery.sinks import HttpSink  # noqa: PLC0415  - see above

        return self._close_later(HttpSink(self.settings.need_sink()))

    @cached_property
    def prometheus(self) -> HttpClient | None:
        """Prometheus' HTTP API; None without an address."""
        from fuseboard.http_client import HttpClient  # noqa: PLC0415  - see above

        url, token_file = self.settings.prometheus_url, self.settings.prometheus_token_file
        return self._close_later(HttpClient(url, token_file, lanes=PROMETHEUS_LANES)) if url else None

    @cached_property
    def alertmanagers(self) -> tuple[HttpClient, ...]:
        """Alertmanager's HTTP API, by the address of each member of its cluster; empty without an address."""
        from fuseboard.http_client import HttpClient  # noqa: PLC0415  - see above

        urls = filter(None, map(str.strip, self.settings.alertmanager_url.split(",")))
        token_file = self.settings.alertmanager_token_file
        clients = [HttpClient(url, token_file, max_bytes=ALERTMANAGER_MAX_BYTES) for url in urls]
        return tuple(map(self._close_later, clients))

    def check(self) -> None:
        """Do nothing if every opened connection answers.

        Raises:
            Unavailable: a connection does not answer.

        """
        for check in self._checks:
            check()

    def close(self) -> None:
        """Close every opened connection."""
        self._opened.close()

    def _close_later(self, opened: Opened) -> Opened:
        self._opened.callback(opened.close)
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
