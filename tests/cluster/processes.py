"""Start processes, wait for them, end them: these and no others.

Each has a process group of its own, so a Ctrl-C at the terminal reaches only the starter, which
then ends them in reverse order. Each writes a log into the folder of the run.
"""

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import orphans

TAIL_LINES = 20
POLL_S = 0.05
PORTS = range(20_000, 32_000)  # below those that Linux gives to outgoing connections

_given: set[int] = set()


class NotReadyError(RuntimeError):
    """Something did not become ready in time, or its process ended; quotes the end of its log."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and never the same one twice."""
    for port in random.sample(PORTS, k=200):
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise NotReadyError(f"no free port found on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


def takes_connections(port: int) -> bool:
    """Tell whether something listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started, and all it takes to start it again."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def group(self) -> int:
        """The id of its process group, which is that of the process."""
        return self.popen.pid

    def tail(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"the end of {self.log}:", *(f"  {line}" for line in lines)])


class Processes:
    """The processes of one run."""

    def __init__(self, folder: Path) -> None:
        """Keep logs in the folder; start the process that ends them should this one be killed."""
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        self._folder = folder
        self._running: dict[str, Process] = {}
        self._orphans = subprocess.Popen(
            [sys.executable, orphans.__file__],
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them all."""
        self.stop()

    def __getitem__(self, name: str) -> Process:
        """Return a running process."""
        return self._running[name]

    @property
    def groups(self) -> list[int]:
        """The process groups, this run's and that of its watchman."""
        return [*(process.group for process in self._running.values()), self._orphans.pid]

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a process; it sees only the variables given here, HOME, PATH and TMPDIR."""
        everything = {
            "HOME": str(self._folder),
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(self._folder),
        } | dict(environment or {})
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                cwd=self._folder,
                env=everything,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell(f"+{popen.pid}")
        process = Process(name, tuple(map(str, command)), everything, log, popen)
        self._running[name] = process
        return process

    def end(self, name: str, grace_s: float = orphans.GRACE_S) -> Process:
        """End one process, at once if it is given no grace."""
        process = self._running.pop(name)
        if grace_s:
            process.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.popen.wait(grace_s)
        orphans.end([process.group], grace_s=0)  # and whatever it started
        process.popen.wait()
        self._tell(f"-{process.group}")
        return process

    def restart(self, name: str, grace_s: float = orphans.GRACE_S) -> Process:
        """End a process and start it again with the same command; its log goes on."""
        process = self.end(name, grace_s)
        return self.start(name, process.command, process.environment)

    def stop(self) -> None:
        """End them all, the last one started first."""
        for process in reversed(self._running.values()):
            process.popen.terminate()
        deadline = time.monotonic() + orphans.GRACE_S
        for name in reversed(list(self._running)):
            # Asked a second time, Kubernetes and Knative leave at once instead of draining.
            self.end(name, max(0.0, deadline - time.monotonic()))
        if self._orphans.stdin:
            self._orphans.stdin.close()
        self._orphans.wait()

    def wait(self, what: str, condition: Callable[[], bool], *, timeout_s: float, log_of: str = "") -> None:
        """Return when the condition holds; raise when it takes too long or a process ended."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            for process in self._running.values():
                if process.popen.poll() is not None:
                    status = process.popen.returncode
                    raise NotReadyError(f"{process.name} ended with status {status} before {what}; {process.tail()}")
            if time.monotonic() > deadline:
                tail = self._running[log_of].tail() if log_of else f"logs are in {self.logs}"
                raise NotReadyError(f"not within {timeout_s:.0f} s: {what}; {tail}")
            time.sleep(POLL_S)

    def _tell(self, line: str) -> None:
        if self._orphans.stdin:
            self._orphans.stdin.write(f"{line}\n")
