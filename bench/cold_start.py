"""Cold start and memory of the breaker function.

From the start of the process to its first 2xx: a CloudEvent that is decided on Redis. Bytecode is compiled, as in an
image, and files are in the page cache. The floor is the standard library's ``http.server`` with no more than it needs.
Memory is what the server's processes hold after that event, with pages that they share counted once. Peers:
func-python and functions-framework with a function that does nothing. Targets: performance, rows "cold start to the
first 2xx, breaker function" and "resident memory, breaker function".
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.function import func_python, functions_framework
from bench.measure import (
    GUNICORN,
    HOST,
    PROGRAMS,
    Result,
    free_port,
    interleave,
    medians,
    ratio,
    running,
    valkey,
    wait_for_answer,
)
from bench.programs.load import fresh, unused
from bench.signals import cloudevents, policies, workloads
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.measure import Plan

    Start = Callable[[int], tuple[list[str], dict[str, str]]]
    """Returns the command and the environment of a server on a port."""

    Samples = dict[str, list[float]]


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    names = workloads(1)
    with valkey(plan.folder / "cold_start") as url:
        open_store(url).apply(policies(names))
        event = cloudevents(names)[0]
        peers = _peers(plan.peers) if plan.peers is not None else {}
        starts = {"floor": floor, "ours": function_start("breaker", FUSEBOARD_REDIS_URL=url), **peers}
        times, sizes = compared(plan, starts, lambda: event)
    yield result("cold start to the first 2xx, breaker function", times, at_most=5.0, unit="ms")
    if any(sizes["ours"]):
        yield result("resident memory, breaker function", sizes, at_most=2.3, unit="MB")


def compared(plan: Plan, starts: Mapping[str, Start], event: Callable[[], bytes]) -> tuple[Samples, Samples]:
    """Return milliseconds to the first 2xx to an event, and megabytes held then, of each side."""
    sides = {name: _side(plan, name, start, event) for name, start in starts.items()}
    for side in sides.values():
        side()  # once, so that everything is compiled and in the page cache
    samples = interleave(sides, plan.rounds)
    times = {name: [1_000 * seconds for seconds, _ in found] for name, found in samples.items()}
    return times, {name: [held for _, held in found] for name, found in samples.items()}


def result(name: str, samples: Samples, *, at_most: float | None, unit: str) -> Result:
    """Return how our side compares with the floor."""
    told = medians(samples)
    peers = {peer: ratio(samples[peer], samples["floor"]) for peer in samples if peer.startswith("func")}
    return Result(
        name=name,
        ratio=ratio(samples["ours"], samples["floor"]),
        at_most=at_most,
        unit=unit,
        sides={"ours": told["ours"], "floor": told["floor"]},
        peers=peers,
        note="floor: the standard library's http.server; ours: gunicorn with 1 worker, its arbiter included",
    )


def floor(port: int) -> tuple[list[str], dict[str, str]]:
    """Return how the standard library's server is started."""
    return [sys.executable, str(PROGRAMS / "stdlib.py"), str(port)], {}


def function_start(name: str, **env: str) -> Start:
    """Return how one of our functions is started."""
    app = f'fuseboard.serving:create_app("functions.{name}")'
    return lambda port: ([*GUNICORN, f"--bind={HOST}:{port}", app], env)


def _peers(python: Path) -> dict[str, Start]:
    return {
        "func-python": lambda port: func_python(python, port),
        "functions-framework": lambda port: functions_framework(python, port),
    }


def _side(plan: Plan, name: str, start: Start, event: Callable[[], bytes]) -> Callable[[], tuple[float, float]]:
    def measure() -> tuple[float, float]:
        """Return seconds to the first 2xx, and megabytes held then."""
        port, log = free_port(), plan.folder / f"cold-{name}.log"
        command, env = start(port)
        request = fresh(event(), unused())
        begin = time.perf_counter()
        with running(command, log, **env) as program:
            wait_for_answer(program, port, log, request)
            return time.perf_counter() - begin, _held(program.pid) / 1e6

    return measure


def _held(pid: int) -> float:
    """Return the bytes that a process and its children hold, shared pages once; 0 where that is not told."""
    private, shared = 0, 0
    for each in _tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            return 0.0
        found = {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines}
        private += found["Private_Clean"] + found["Private_Dirty"]
        shared = max(shared, found["Shared_Clean"] + found["Shared_Dirty"])
    return float(private + shared)


def _tree(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in path.read_text(encoding="ascii").split()] if path.exists() else []
    return [pid, *(each for child in children for each in _tree(child))]
