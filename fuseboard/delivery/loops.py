"""How watchers run: a loop with a period, a supervised thread, and the silence after which a source is not ready."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING, Final

from fuseboard import logs, metrics
from fuseboard.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from threading import Event as Flag

SILENT_S: Final = 150.0
"""A source that has heard nothing for so long is not ready."""


def every(seconds: float, stop: Flag) -> Iterator[None]:
    """Yield now and then after each pause of so many seconds, until ``stop`` is set."""
    while not stop.is_set():
        yield
        stop.wait(seconds)


class Idle:
    """A watcher to which the settings give no work."""

    def run(self, stop: Flag) -> None:
        """Wait for the end."""
        stop.wait()

    def check(self) -> None:
        """It is always ready."""


class Supervised:
    """The thread of a watcher, or of a part of one.

    A watcher returns only after ``stop`` is set. A bug that ends it earlier is logged, and ``check`` raises from then
    on: under Kubernetes the kubelet then starts the container again.
    """

    def __init__(self, name: str, run: Callable[[Flag], None], stop: Flag) -> None:
        """Start nothing yet."""
        self.name = name
        self._run = run
        self._stop = stop
        self._thread = Thread(target=self._supervise, name=name, daemon=True)

    def start(self) -> Supervised:
        """Start the thread."""
        self._thread.start()
        return self

    def join(self, within_s: float | None = None) -> None:
        """Wait for the thread's end, at most so many seconds."""
        self._thread.join(within_s)

    @property
    def has_ended(self) -> bool:
        """Whether the thread was started and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def check(self) -> None:
        """Do nothing if the thread runs.

        Raises:
            Unavailable: it has ended.

        """
        if not self._thread.is_alive():
            raise Unavailable(f"{self.name} has ended, as only a bug can end it: see the log, and start again")

    def _supervise(self) -> None:
        try:
            self._run(self._stop)
        except Exception as error:  # noqa: BLE001  - whatever ends a thread must not end it in silence
            logs.logger().error("thread.bug", thread=self.name, exc_info=error)
        else:
            if not self._stop.is_set():
                logs.logger().error("thread.ended", thread=self.name)


def log_bug(event: str) -> Callable[[Future[None]], None]:
    """Return a callback for ``Future.add_done_callback`` that logs the exception of a task that no thread waits for."""

    def log(task: Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logs.logger().error(event, exc_info=error)

    return log


class Silence:
    """How long a source has heard nothing from the system that it asks."""

    def __init__(self, source: str, missing: str) -> None:
        """Begin now; ``source`` names it in the metrics, and ``missing`` is what does not come, for the error."""
        self._source = source
        self._missing = missing
        self._heard_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._heard_at

    def end(self) -> None:
        """Note an answer, or that there is nothing to ask: the silence begins anew."""
        self._heard_at = time.monotonic()

    def measure(self, *, asks: bool = True) -> None:
        """Report the silence as a metric; 0 for a source that has nothing to ask."""
        metrics.source_silent(self._source, self.seconds if asks else 0.0)

    def check(self, hint: str) -> None:
        """Do nothing unless the silence is too long; see ``refuse_silence``."""
        refuse_silence(self.seconds, self._missing, hint)


def refuse_silence(seconds: float, missing: str, hint: str) -> None:
    """Do nothing unless a silence is too long.

    Raises:
        Unavailable: it is; the message has what is missing, and the hint.

    """
    if seconds > SILENT_S:
        raise Unavailable(f"no {missing} for {seconds:.0f} s: {hint}")
