"""Fuseboard in this process, each part with its own ServiceAccount on the real API server."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from eventsources.circuitbreakers import CircuitBreakers
from eventsources.clock import Clock
from functions.breaker import Breaker
from functions.failover import Failover
from functions.status import Status
from fuseboard.breaker.placement import Shares
from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import open_cluster
from fuseboard.cluster.pace import WatchPace
from fuseboard.crd import resource as resources
from fuseboard.delivery.relay import Relay
from fuseboard.errors import FuseboardError, NotEnrolled, SinkUnavailable, StoreUnavailable
from fuseboard.events.event import Event
from fuseboard.events.types import Action, OperatorRequested
from fuseboard.settings import Settings
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.redis import open_store
from tests.cluster.api import RefusedError
from tests.cluster.kubectl import kubectl
from tests.cluster.standing import SPACE, enrol, let_in, policy, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.delivery.function import Function
    from tests.cluster.cluster import Cluster

SOON: Final = WatchPace(first_wait=0.1, last_wait=0.5, denied_wait=0.3, stream=(3.0, 4.0), quiet=1.0)
HOME: Final = Shares()
AWAY: Final = Shares(target=0, standby=100)


class Broker:
    """Hands an event to the functions that consume it and are not down, and what they answer to the next ones."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions
        self.down: set[str] = set()
        self.passed: list[Event] = []

    def send(self, event: Event) -> None:
        self.passed.append(event)
        for name, function in self._functions.items():
            if event.type not in function.consumes or name in self.down:
                continue
            try:
                reply = function.handle(event)
            except NotEnrolled:
                continue
            except FuseboardError as error:
                raise SinkUnavailable(str(error)) from error
            if reply is not None:
                self.send(reply)


class Mirrored:
    """A namespace with target and standby, a store, and whatever of Fuseboard a test starts."""

    def __init__(self, cluster: Cluster, space: str, redis_url: str) -> None:
        let_in(cluster)
        enrol(cluster, space)
        self.cluster, self.space, self.key, self.url = cluster, space, f"{space}/login", redis_url
        self.store = open_store(redis_url)
        self.broker = Broker(
            {
                "breaker": Breaker(self.store),
                "failover": Failover(self.store, self.acting("failover")),
                "status": Status(self.store, self.acting("status")),
            }
        )

    def acting(self, account: str) -> Kubernetes:
        """Return the cluster as a ServiceAccount sees it."""
        user = f"system:serviceaccount:{SPACE}:{account}"
        found = open_cluster(Settings(kubeconfig=str(self.cluster.kubeconfig(user))))
        assert isinstance(found, Kubernetes)
        return found

    @contextmanager
    def running(self, *, watchers: int = 1, release_after_s: float = 120.0) -> Iterator[None]:
        """Run watchers, relay and clock."""
        stop, outbox = Flag(), open_outbox(self.url)
        parts: list[Any] = [Relay(outbox.queue, self.broker, "test"), Clock(self.store, self.broker)]
        for _ in range(watchers):
            watcher = CircuitBreakers(
                open_store(self.url), open_outbox(self.url), self.acting("sources"), release_after_s=release_after_s
            )
            watcher.pace = SOON
            parts.append(watcher)
        with ExitStack() as stack:
            for part in parts:
                thread = Thread(target=part.run, args=(stop,))
                stack.callback(thread.join, 20)
                thread.start()
            stack.callback(stop.set)
            yield

    # -- the resource ------------------------------------------------------------------------------------------------

    def write(self, name: str = "login", **parts: Any) -> None:  # noqa: ANN401  - parts of a document
        """Apply a CircuitBreaker, with these parts of its spec."""
        document = policy(self.space)
        document["metadata"]["name"] = name
        spec = document["spec"] | parts
        document["spec"] = {each: value for each, value in spec.items() if value is not None}
        self.cluster.api.apply(document)

    def path(self, name: str = "login") -> str:
        """Return the path of the resource."""
        return resources.resource_path(f"{self.space}/{name}")

    def resource(self, name: str = "login") -> dict[str, Any]:
        """Return the resource; empty where there is none."""
        try:
            return self.cluster.api.get(self.path(name))
        except RefusedError as refusal:
            if refusal.status == 404:
                return {}
            raise

    def condition(self, kind: str, name: str = "login") -> dict[str, Any]:
        """Return a condition of the resource's status; empty where there is none."""
        conditions = self.resource(name).get("status", {}).get("conditions", ())
        return next((dict(each) for each in conditions if each["type"] == kind), {})

    def status(self, name: str = "login") -> dict[str, Any]:
        """Return the resource's status."""
        return dict(self.resource(name).get("status", {}))

    def delete(self, name: str = "login") -> None:
        """Delete the resource, without waiting."""
        self.cluster.api.delete(self.path(name))

    def is_held(self) -> bool:
        """Whether our finalizer is on the resource."""
        return resources.FINALIZER in self.resource().get("metadata", {}).get("finalizers", ())

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return kubectl(self.cluster, "-n", self.space, *arguments)

    # -- the breaker -------------------------------------------------------------------------------------------------

    def ask(self, action: Action) -> None:
        """Ask something of the breaker, as an operator."""
        asked = OperatorRequested(action=action, operator="tess", reason="a test")
        event = Event(id=f"{action}-{len(self.broker.passed)}", source="/test", subject=self.key, data=asked)
        self.broker.send(event.at(self.record().now))

    def rows(self) -> set[str]:
        """Return the breakers of this namespace: those of other tests are in the table as well."""
        return {each.metadata.name for each in self.store.table().values() if each.namespace == self.space}

    def record(self) -> Row:
        """Return the breaker's record."""
        return self.store.read(self.key)

    def serves(self, shares: Shares) -> bool:
        """Whether the traffic is so by the record, and by the Service."""
        role = "primary" if shares == HOME else "standby"
        return self.record().placement.shares == shares and self.selector() == {"app": "login", "role": role}

    def selector(self, service: str = "login") -> dict[str, str]:
        """Return whom a Service selects."""
        found = self.cluster.api.get(f"/api/v1/namespaces/{self.space}/services/{service}")
        return dict(found["spec"]["selector"])

    def open(self) -> None:
        """Trip the breaker, and wait until its traffic is moved and the resource is held."""
        self.wait("it is in the table", lambda: "login" in self.rows())
        self.ask(Action.TRIP)
        self.wait("moved and held", lambda: self.serves(AWAY) and self.is_held())

    def wait(self, what: str, condition: Any, within_s: float = 30.0) -> None:  # noqa: ANN401  - any callable
        """Wait until a condition holds."""
        wait_for(what, condition, self.explain, within_s)

    def explain(self) -> str:
        """Return what is known, for a failed test."""
        passed = [f"{each.type} {each.subject} {each.data}" for each in self.broker.passed[-10:]]
        try:
            return "\n".join([str(self.resource()), *passed, str(self.store.journal([self.key], 20))])
        except StoreUnavailable as error:
            return str(error)

    def clear(self) -> None:
        """Let the namespace go."""
        for found in self.cluster.api.get(self.path().rpartition("/")[0])["items"]:
            self.cluster.api.patch(self.path(found["metadata"]["name"]), {"metadata": {"finalizers": None}})
