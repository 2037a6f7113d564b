"""CloudEvents that a function takes over HTTP, and how long they take.

Every side is one worker with two threads, is posted the same events in binary mode over eight connections that are
kept, by a load generator in another process, and all sides take turns. The floor is a bare WSGI app under the same
server. Ours is ``fuseboard.serving`` with a function that does nothing, and ``functions.breaker`` with one decision on
Redis. Peers: functions-framework with as many workers and threads, func-python (hypercorn) as it comes. Targets:
performance, rows "CloudEvent POST/s, 1 worker, no Redis", "the same with one decision on Redis", "its p99 at 8
connections".
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from bench.measure import (
    GUNICORN,
    HOST,
    PROGRAMS,
    Result,
    free_port,
    interleave,
    load,
    medians,
    ratio,
    serving,
    valkey,
)
from bench.signals import cloudevents, policies, workloads
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measure import Load, Plan

TARGETS: Final = 256
CONNECTIONS: Final = 8

BREAKER: Final = 'fuseboard.serving:create_app("functions.breaker")'


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    names = workloads(TARGETS)
    requests = cloudevents(names)
    seconds = plan.of(1.5, 0.4)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(valkey(plan.folder / "function"))
        open_store(url).apply(policies(names))
        ports = {name: stack.enter_context(server) for name, server in _servers(plan, url)}
        for port in ports.values():
            load(port, requests, CONNECTIONS, seconds=0.2)
        sides = {
            name: (lambda port=port: load(port, requests, CONNECTIONS, seconds=seconds)) for name, port in ports.items()
        }
        loads = interleave(sides, plan.rounds)
    yield from _results(loads)


def _results(loads: dict[str, list[Load]]) -> Iterator[Result]:
    rates = {name: [each.rate for each in found] for name, found in loads.items()}
    told = medians(rates)
    peers = {name: ratio(rates[name], rates["floor"]) for name in rates if name.startswith("func")}
    yield Result(
        name="CloudEvent POST/s, 1 worker, no Redis",
        ratio=ratio(rates["trivial"], rates["floor"]),
        at_least=0.45,
        unit="/s",
        sides={"ours": told["trivial"], "floor": told["floor"]},
        peers=peers,
        note="floor: bare WSGI app under gunicorn, gthread, 2 threads",
    )
    if peers:
        yield Result(
            name="CloudEvent POST/s, 1 worker, no Redis",
            ratio=ratio(rates["trivial"], rates["functions-framework"]),
            over="functions-framework",
            at_least=1.1,
            unit="/s",
            sides={"ours": told["trivial"], "functions-framework": told["functions-framework"]},
        )
    yield Result(
        name="CloudEvent POST/s, 1 worker, one decision on Redis",
        ratio=ratio(rates["breaker"], rates["floor"]),
        at_least=0.28,
        unit="/s",
        sides={"ours": told["breaker"], "floor": told["floor"]},
    )
    if peers:
        yield _slowest(loads)


def _slowest(loads: dict[str, list[Load]]) -> Result:
    p99 = {name: [each.p99_ms for each in found] for name, found in loads.items()}
    told = medians(p99)
    frame = ratio(p99["functions-framework"], p99["func-python"])
    return Result(
        name=f"p99 of the same with Redis, {CONNECTIONS} connections",
        ratio=ratio(p99["breaker"], p99["func-python"]),
        over="func-python",
        at_most=3.0,
        unit="ms",
        sides={"ours": told["breaker"], "no Redis": told["trivial"], "func-python": told["func-python"]},
        note=f"functions-framework with 2 threads: {frame:.2f} x func-python; bare WSGI app: {told['floor']:.2f} ms",
    )


def _servers(plan: Plan, url: str) -> Iterator[tuple[str, contextlib.AbstractContextManager[int]]]:
    """Yield the sides, not yet started."""
    apps = {"floor": "bench.programs.bare:app", "trivial": "bench.programs.trivial:app", "breaker": BREAKER}
    for name, app in apps.items():
        port = free_port()
        command = [*GUNICORN, f"--bind={HOST}:{port}", app]
        yield name, serving(command, port, plan.folder / f"{name}.log", FUSEBOARD_REDIS_URL=url)
    if plan.peers is not None:
        for name, peer in (("func-python", func_python), ("functions-framework", functions_framework)):
            port = free_port()
            command, env = peer(plan.peers, port)
            yield name, serving(command, port, plan.folder / f"{name}.log", **env)


def func_python(python: object, port: int) -> tuple[list[str], dict[str, str]]:
    """Return how a function under func-python is started."""
    return [str(python), str(PROGRAMS / "peer_func_python.py")], {"LISTEN_ADDRESS": f"{HOST}:{port}"}


def functions_framework(python: object, port: int) -> tuple[list[str], dict[str, str]]:
    """Return how a function under functions-framework is started, with one worker and two threads as ours."""
    source = str(PROGRAMS / "peer_functions_framework.py")
    where = ["--target=handle", "--signature-type=cloudevent", f"--source={source}", f"--host={HOST}", f"--port={port}"]
    return [str(python), "-m", "functions_framework", *where], {"WORKERS": "1", "THREADS": "2"}
