"""Alerts that the webhook accepts, and how soon they are decided.

Notifications are Alertmanager's, of 50 alerts about one workload, posted over eight connections that are kept by a load
generator in another process. Accepted is what was answered 202: it is on disk then. Decided is what left the outbox:
every signal has been through the broker to the breaker. The floor is a bare Flask receiver under the same server that
reads the JSON, stores nothing and answers 202. A storm is one notification of 5,000 alerts about 20 workloads; its
floor is one event per alert, posted to the breaker function one by one.

Targets: performance, rows "alerts/s accepted and decided" and "5,000 alerts of 20 breakers in one notification". The
former is held against Robusta's webhook, which is not installed beside ours: its ratio is for reference only.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Final

import redis

from bench.measure import (
    GUNICORN,
    HOST,
    PROGRAMS,
    Result,
    answered,
    client,
    free_port,
    interleave,
    load,
    medians,
    post,
    ratio,
    serving,
    valkey,
)
from bench.signals import JSON, alert, notification, policies, policy_file, workloads
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.events.wire import encode
from fuseboard.stores.keys import OUTBOX
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.measure import Plan

ALERTS: Final = 50
"""In a notification."""

WORKLOADS: Final = 20
STORM: Final = 5_000
ONE_BY_ONE: Final = 1_000
"""Of a storm's alerts, so many are sent one by one; the time is scaled to all of them."""

DECIDED_WITHIN_S: Final = 30.0
RECEIVER: Final = 'fuseboard.serving:create_app("eventsources.alertmanager")'
UP: Final = (sys.executable, "-c", "from fuseboard.cli import main; main()", "up")

NOTE: Final = (
    "reference only: the target, >= 3, is over Robusta's webhook with a trivial action, which is not measured here; "
    "floor: a bare Flask receiver under the same server that reads the JSON and stores nothing"
)


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    yield _accepted(plan)
    names = workloads(WORKLOADS)
    port, state = free_port(), plan.folder / "state"
    table = plan.folder / "breakers.yaml"
    table.write_text(policy_file(names), encoding="utf-8")
    command = [*UP, "-f", str(table), "--port", str(port)]
    with serving(command, port, plan.folder / "up.log", XDG_STATE_HOME=str(state)):
        outbox = _Outbox(state / "fuseboard")
        yield _decided(plan, port, outbox)
        yield _storm(plan, port, outbox)


def _accepted(plan: Plan) -> Result:
    """The webhook as a function of its own, under gunicorn; nobody takes from the outbox meanwhile."""
    names = workloads(WORKLOADS)
    with valkey(plan.folder / "webhook", appendfsync="always") as url, contextlib.ExitStack() as stack:
        open_store(url).apply(policies(names))
        plain = client(url)
        ports = {name: stack.enter_context(server) for name, server in _receivers(plan, url)}
        rates = _rates(plan, ports, after=lambda: plain.delete(OUTBOX))
    return Result(
        name=f"alerts/s accepted, {ALERTS} alerts of one workload per notification",
        ratio=ratio(rates["ours"], rates["floor"]),
        unit="alerts/s",
        sides=medians(rates),
        note=NOTE,
    )


def _receivers(plan: Plan, url: str) -> Iterator[tuple[str, contextlib.AbstractContextManager[int]]]:
    for name, app in (("floor", "bench.programs.receiver:app"), ("ours", RECEIVER)):
        port = free_port()
        command = [*GUNICORN, f"--bind={HOST}:{port}", app]
        yield name, serving(command, port, plan.folder / f"webhook-{name}.log", FUSEBOARD_REDIS_URL=url)


def _rates(plan: Plan, ports: dict[str, int], after: Callable[[], object]) -> dict[str, list[float]]:
    """Return alerts per second of all sides."""
    requests, seconds = _notifications("/"), plan.of(1.5, 0.5)

    def measure(port: int, seconds: float) -> float:
        done = load(port, requests, seconds=seconds)
        after()
        return done.rate * ALERTS

    for port in ports.values():
        measure(port, 0.2)
    sides = {name: (lambda port=port: measure(port, seconds)) for name, port in ports.items()}
    return interleave(sides, plan.rounds)


def _notifications(path: str) -> list[bytes]:
    """Return requests of 50 alerts each, about one workload after the other."""
    bodies = [notification([alert(name, number) for number in range(ALERTS)]) for name in workloads(WORKLOADS)]
    return [post(path, JSON, body) for body in bodies]


def _decided(plan: Plan, port: int, outbox: _Outbox) -> Result:
    """Everything in one process, as ``fuseboard up`` runs it; the clock stops when the outbox is empty."""
    count, requests = plan.of(400, 100), _notifications("/alertmanager")
    floor_port = free_port()
    receiver = [sys.executable, str(PROGRAMS / "receiver.py"), str(floor_port)]

    def ours() -> float:
        begin = time.perf_counter()
        load(port, requests, count=count)
        outbox.wait_until_empty()
        return count * ALERTS / (time.perf_counter() - begin)

    def floor() -> float:
        begin = time.perf_counter()
        load(floor_port, requests, count=count)
        return count * ALERTS / (time.perf_counter() - begin)

    with serving(receiver, floor_port, plan.folder / "receiver.log"):
        samples = interleave({"floor": floor, "ours": ours}, plan.rounds)
    return Result(
        name=f"alerts/s accepted and decided, {ALERTS} alerts per notification",
        ratio=ratio(samples["ours"], samples["floor"]),
        unit="alerts/s",
        sides=medians(samples),
        note=f"{NOTE}; both with the start of the load generator",
    )


def _storm(plan: Plan, port: int, outbox: _Outbox) -> Result:
    alerts, singles = plan.of(STORM, STORM // 5), plan.of(ONE_BY_ONE, ONE_BY_ONE // 5)
    names = workloads(WORKLOADS)
    storm = notification([alert(names[number % WORKLOADS], number) for number in range(alerts)])

    def ours() -> float:
        begin = time.perf_counter()
        connection = http.client.HTTPConnection(HOST, port, timeout=DECIDED_WITHIN_S)
        answered(connection, "/alertmanager", JSON, storm)
        connection.close()
        outbox.wait_until_empty()
        return time.perf_counter() - begin

    def floor() -> float:
        messages = [encode(_single(names[number % WORKLOADS], number)) for number in range(singles)]
        begin = time.perf_counter()
        connection = http.client.HTTPConnection(HOST, port, timeout=DECIDED_WITHIN_S)
        for message in messages:
            answered(connection, "/functions/breaker", message.headers, bytes(message.body))
        connection.close()
        return (time.perf_counter() - begin) * alerts / singles

    samples = interleave({"floor": floor, "ours": ours}, plan.rounds)
    return Result(
        name=f"{alerts:,} alerts of {WORKLOADS} breakers in one notification, decided",
        ratio=ratio(samples["ours"], samples["floor"]),
        over="one event per alert",
        at_most=0.05,
        unit="s",
        sides={name: median(values) for name, values in samples.items()},
        note=f"floor: {singles} of the alerts are sent one by one, and the time is scaled",
    )


def _single(name: str, number: int) -> Event:
    now = time.time_ns() // 1_000_000
    key = f"{number:032x}"
    cause = f"KubePodCrashLooping Deployment/{name}"
    failure = Failure(key=f"{key}:{now}:firing", cause=cause, condition=key, severity="warning")
    subject, data = f"shop/{name}", FailureDetected((failure,))
    return Event(id=f"{now}-{number}", source="/alertmanager", subject=subject, data=data, time=now)


class _Outbox:
    """The outbox of a ``fuseboard up``, seen from outside."""

    def __init__(self, state_dir: Path) -> None:
        path = (state_dir / "valkey" / "socket").read_text(encoding="utf-8")
        self._client = redis.Redis(unix_socket_path=path)

    def wait_until_empty(self) -> None:
        give_up = time.monotonic() + DECIDED_WITHIN_S
        while self._client.xlen(OUTBOX):
            if time.monotonic() > give_up:
                message = f"{self._client.xlen(OUTBOX)} events are still undecided after {DECIDED_WITHIN_S:g} s"
                raise TimeoutError(message)
            time.sleep(0.002)
