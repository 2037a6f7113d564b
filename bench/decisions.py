"""Decisions of the breaker function on Redis: a signal is decided, journaled and remembered.

Ours is ``functions.breaker`` called directly, with the store that it has in production; an alert that fires is sent
again, so that every decision renews a condition, remembers an id and writes a line into the journal. The floor is a
script that only returns, by the same client library on the same server. The peer is pybreaker with its own storage in
Redis, in a process of its own on the same server. Targets: performance, rows "breaker decisions/s, 1 client", "the
same when the copy is stale", "the same under appendfsync always", "8 threads on one hot target", "8 threads, own
targets".
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from functools import partial
from itertools import count
from statistics import median
from threading import Thread
from typing import TYPE_CHECKING, Final, TypeVar

from bench.measure import PROGRAMS, Result, client, environment, interleave, medians, rate, ratio, valkey_apart
from bench.signals import NAMESPACE, alerts_again, policies, workloads
from functions.breaker import Breaker
from fuseboard.errors import StoreUnavailable
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import redis

    from bench.measure import Plan
    from fuseboard.events.event import Event

Given = TypeVar("Given")

THREADS: Final = 8
TARGETS: Final = 2_000
"""So many that a record stays below 1 kB however long the bench takes: ids that it remembers are most of it."""

STALE_TARGETS: Final = 500


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    with valkey_apart(plan.folder / "decisions") as url:
        yield from _one_client(plan, url)
        yield from _eight_threads(plan, url)
    with valkey_apart(plan.folder / "durable", appendfsync="always") as url:
        yield _durable(plan, url)


def _one_client(plan: Plan, url: str) -> Iterator[Result]:
    """One caller; its copy is current, or somebody else has changed the record since its last decision."""
    plain, calls = client(url), plan.of(2_000, 700)
    current, stale = _Decider(url, "current", plan.of(TARGETS, 500)), _Alternating(url, "stale", STALE_TARGETS)
    with pybreaker(plan, url) as peer:
        sides: dict[str, Callable[[], float]] = {
            "floor": lambda: floor(plain, 2 * calls),
            "ours": lambda: current.rate(calls),
            "stale": lambda: stale.rate(calls // 2),
        }
        if peer is not None:
            sides |= {f"pybreaker, {kind}": partial(peer.rate, kind, 1, calls // 2) for kind in ("failure", "success")}
        samples = interleave(sides, plan.rounds)
    shares, told, size = _peers(samples), medians(samples), _record_bytes(plain, current.names)
    yield Result(
        name="decisions/s, 1 client, copy current",
        ratio=ratio(samples["ours"], samples["floor"]),
        at_least=0.70,
        unit="/s",
        sides=_pair(told, "ours", "floor"),
        peers=shares,
        note=f"floor: EVALSHA return 1; a record has {size:.0f} B in the median",
    )
    if shares:
        yield _over_pybreaker("decisions/s, 1 client, copy current", samples, "ours", at_least=2.3)
    yield Result(
        name="decisions/s, 1 client, copy stale",
        ratio=ratio(samples["stale"], samples["floor"]),
        at_least=0.35,
        unit="/s",
        sides=_pair(told, "stale", "floor"),
        note="two stores in turns: the record has always been changed by the other one",
    )


def _eight_threads(plan: Plan, url: str) -> Iterator[Result]:
    """Eight threads of one process, all on one target or each on its own targets."""
    plain, calls = client(url), plan.of(4_000, 1_600)
    hot, own = _Decider(url, "hot", 1), _Decider(url, "own", plan.of(TARGETS, 800))
    with pybreaker(plan, url) as peer:
        sides: dict[str, Callable[[], float]] = {
            "floor": lambda: _threaded_floor(plain, 2 * calls),
            "hot": lambda: hot.threaded_rate(calls),
            "own": lambda: own.threaded_rate(calls),
        }
        if peer is not None:
            sides["pybreaker, failure"] = lambda: peer.rate("failure", THREADS, calls // 4)
        samples = interleave(sides, plan.rounds)
    told = medians(samples)
    shares = _peers(samples)
    yield Result(
        name=f"decisions/s, {THREADS} threads, one hot target",
        ratio=ratio(samples["hot"], samples["floor"]),
        at_least=0.50,
        unit="/s",
        holds=not hot.given_up,
        sides=_pair(told, "hot", "floor"),
        note=f"floor: EVALSHA return 1, {THREADS} threads; {hot.given_up} calls gave up: none may",
    )
    yield Result(
        name=f"decisions/s, {THREADS} threads, own targets",
        ratio=ratio(samples["own"], samples["floor"]),
        at_least=0.70,
        unit="/s",
        sides=_pair(told, "own", "floor"),
        peers=shares,
    )
    if shares:
        yield _over_pybreaker(f"decisions/s, {THREADS} threads, own targets", samples, "own", at_least=5.0)


def _durable(plan: Plan, url: str) -> Result:
    """One caller, where every write is on disk before it is answered; the floor is one SET."""
    plain, calls = client(url), plan.of(1_000, 300)
    decider = _Decider(url, "durable", plan.of(TARGETS, 500))
    sides: dict[str, Callable[[], float]] = {
        "floor": lambda: rate(lambda value: plain.set("floor", value), [b"x" * 64] * calls),
        "ours": lambda: decider.rate(calls),
    }
    samples = interleave(sides, plan.rounds)
    return Result(
        name="decisions/s, 1 client, appendfsync always",
        ratio=ratio(samples["ours"], samples["floor"]),
        at_least=0.80,
        unit="/s",
        sides=medians(samples),
        note="floor: one durable SET of 64 bytes",
    )


class _Decider:
    """The breaker function with breakers of its own; the first decision on each of them is made already."""

    def __init__(self, url: str, prefix: str, targets: int, *, known: bool = False) -> None:
        self.names = [f"{prefix}-{name}" for name in workloads(targets)]
        self.given_up = 0
        self._numbers = count(1_000_000)
        store = open_store(url)
        if not known:
            store.apply([*store.table().values(), *policies(self.names)])
        self.handle = Breaker(store).handle
        for event in self.events(targets):
            self.handle(event)

    def events(self, calls: int) -> list[Event]:
        """Return the next signals."""
        first = next(self._numbers) * 100_000
        return alerts_again(self.names, calls, first)

    def rate(self, calls: int) -> float:
        """Return decisions per second."""
        return rate(self.handle, self.events(calls))

    def threaded_rate(self, calls: int) -> float:
        """Return decisions per second of all threads together."""
        events = self.events(calls)
        return _threaded_rate([events[number::THREADS] for number in range(THREADS)], self._handle)

    def _handle(self, event: Event) -> None:
        try:
            self.handle(event)
        except StoreUnavailable:
            self.given_up += 1


class _Alternating:
    """Two replicas of the function: the record has always been changed by the other one."""

    def __init__(self, url: str, prefix: str, targets: int) -> None:
        self._replicas = (_Decider(url, prefix, targets), _Decider(url, prefix, targets, known=True))
        self._turn = 0

    def rate(self, calls: int) -> float:
        """Return decisions per second; every target is decided on by one, then by the other."""
        seconds, decided = 0.0, 0
        while decided < calls:
            replica = self._replicas[self._turn % 2]
            self._turn += 1
            seconds += STALE_TARGETS / replica.rate(STALE_TARGETS)
            decided += STALE_TARGETS
        return decided / seconds


class Pybreaker:
    """The peer in its process."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def rate(self, kind: str, threads: int, calls: int) -> float:
        """Return its calls per second."""
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(f"{kind} {threads} {calls}\n")
        self._program.stdin.flush()
        return float(self._program.stdout.readline())


@contextlib.contextmanager
def pybreaker(plan: Plan, url: str) -> Iterator[Pybreaker | None]:
    """Run the peer until the block ends, if it is installed."""
    if plan.peers is None:
        yield None
        return
    command = [str(plan.peers), str(PROGRAMS / "peer_pybreaker.py"), url]
    with _piped(command) as program:
        peer = Pybreaker(program)
        peer.rate("failure", THREADS, 80)
        yield peer


@contextlib.contextmanager
def _piped(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment()) as program:
        try:
            yield program
        finally:
            assert program.stdin
            program.stdin.close()  # it ends with its input
            program.wait(10)


def _peers(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: ratio(found, samples["floor"]) for name, found in samples.items() if name.startswith("pybreaker")}


def _over_pybreaker(name: str, samples: Mapping[str, Sequence[float]], ours: str, at_least: float) -> Result:
    peer = "pybreaker, failure"
    of_rounds, sides = ratio(samples[ours], samples[peer]), _pair(medians(samples), ours, peer)
    return Result(name=name, ratio=of_rounds, over=peer, at_least=at_least, unit="/s", sides=sides)


def _pair(told: Mapping[str, float], ours: str, other: str) -> dict[str, float]:
    return {"ours": told[ours], other: told[other]}


def floor(plain: redis.Redis, calls: int) -> float:
    """Return calls per second of a script that only returns."""
    script = plain.script_load("return 1")
    return rate(lambda _: plain.evalsha(script, 0), range(calls))


def _threaded_floor(plain: redis.Redis, calls: int) -> float:
    script = plain.script_load("return 1")
    return _threaded_rate([range(calls // THREADS)] * THREADS, lambda _: plain.evalsha(script, 0))


def _threaded_rate(shares: Sequence[Sequence[Given]], call: Callable[[Given], object]) -> float:
    """Return calls per second of all threads together."""
    threads = [Thread(target=rate, args=(call, share)) for share in shares]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(map(len, shares)) / (time.perf_counter() - begin)


def _record_bytes(plain: redis.Redis, names: list[str]) -> float:
    keys = [f"fuseboard:{{{NAMESPACE}}}:breaker:{name}" for name in names]
    return median(plain.hstrlen(key, "breaker") for key in keys)
