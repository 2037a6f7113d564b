"""A breaker table of 10,000: how long ``fuseboard up`` takes to begin with it, what it takes of Redis, how it decides.

Start-up is from the start of the process with an empty state directory to the first 2xx of ``/readyz``; then, with the
state that it left, once more. The memory is all that the server uses, once every breaker has had signals. Decisions are
held against those with a table of one, on a server of its own, in turns. Targets: start-up 10 s, Redis 256 MiB, 1.3.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.many_targets import Table, times, used
from bench.measure import HOST, Result, free_port, running, valkey_apart, wait_for_answer
from bench.signals import policy_file, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measure import Plan

BREAKERS: Final = 10_000
START_WITHIN_S: Final = 10.0
REDIS_MIB: Final = 256.0
SIGNALS_EACH: Final = 5

_READY: Final = f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
_MIB: Final = 1 << 20


def run(plan: Plan) -> Iterator[Result]:
    """Measure."""
    names = workloads(BREAKERS)
    yield from _start_up(plan, names)
    with valkey_apart(plan.folder / "one") as one, valkey_apart(plan.folder / "ten") as ten:
        few, all_ = Table(one, workloads(1)), Table(ten, names)
        all_.seconds(names, plan.of(SIGNALS_EACH, 1) * BREAKERS)
        mib = used(all_.plain) / _MIB
        yield Result(
            name=f"Redis with {BREAKERS:,} breakers",
            ratio=mib / REDIS_MIB,
            over="256 MiB",
            limit=REDIS_MIB,
            unit="MiB",
            sides={"ours": mib},
            note=f"every breaker has had {plan.of(SIGNALS_EACH, 1)} signals; with their journals and ids",
        )
        yield from times(plan, few, all_)


def _start_up(plan: Plan, names: list[str]) -> Iterator[Result]:
    file, state = plan.folder / "ten-thousand.yaml", plan.folder / "state"
    file.write_text(policy_file(names), encoding="utf-8")
    for which in ("first", "again"):
        seconds = _seconds(file, state, plan.folder / "up.log")
        yield Result(
            name=f"start-up with {BREAKERS:,} breakers, {which}",
            ratio=seconds / START_WITHIN_S,
            over="10 s",
            limit=START_WITHIN_S,
            unit="s",
            sides={"ours": seconds},
            note="from the start of the process to the first 2xx of /readyz",
        )


def _seconds(file: Path, state: Path, log: Path) -> float:
    port = free_port()
    command = [str(Path(sys.executable).parent / "fuseboard"), "up", "-f", str(file), "--port", str(port)]
    begin = time.perf_counter()
    with running(command, log, XDG_STATE_HOME=str(state)) as program:
        wait_for_answer(program, port, log, _READY)
        return time.perf_counter() - begin
