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
"""After a longer silence a source is not ready."""


def every(seconds: float, stop: Flag) -> Iterator[None]:
    """Yield at once, then after each pause of ``seconds``, until ``stop`` is set."""
    while not stop.is_set():
        yield
        stop.wait(seconds)


class Idle:
    """A watcher to which the settings give no work."""

    def run(self, stop: Flag) -> None:
        """Wait for the end."""
        stop.wait()

    def check(self) -> None:
        """An idle watcher is always ready."""


class Supervised:
    """The thread of a watcher, or of a part of a watcher.

    A watcher returns only after ``stop`` is set. A bug that ends the thread earlier is logged, and from then on
    ``check`` raises: under Kubernetes the kubelet restarts the container.
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
        """Wait for the thread's end, at most ``within_s`` seconds."""
        self._thread.join(within_s)

    @property
    def has_ended(self) -> bool:
        """Whether the thread was started and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def check(self) -> None:
        """Do nothing if the thread runs.

        Raises:
            Unavailable: the thread has ended.

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
    """Return a callback for ``Future.add_done_callback`` that logs the exception of a task."""

    def log(task: Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logs.logger().error(event, exc_info=error)

    return log


class Silence:
    """The time since the last answer of the system that a source asks."""

    def __init__(self, source: str, missing: str) -> None:
        """Begin now; ``source`` is a label of the metric, ``missing`` the noun for the error, such as "answer"."""
        self._source = source
        self._missing = missing
        self._heard_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """The duration until now."""
        return time.monotonic() - self._heard_at

    def end(self) -> None:
        """Note an answer, or the lack of a question: the silence begins anew."""
        self._heard_at = time.monotonic()

    def measure(self, *, asks: bool = True) -> None:
        """Report the silence as a metric; 0 for a source without a question."""
        metrics.source_silent(self._source, self.seconds if asks else 0.0)

    def check(self, hint: str) -> None:
        """Do nothing unless the silence is too long; see ``refuse_silence``."""
        refuse_silence(self.seconds, self._missing, hint)


def refuse_silence(seconds: float, missing: str, hint: str) -> None:
    """Do nothing unless a silence is too long.

    Raises:
        Unavailable: the silence is too long; the message has ``missing`` and the hint.

    """
    if seconds > SILENT_S:
        raise Unavailable(f"no {missing} for {seconds:.0f} s: {hint}")
