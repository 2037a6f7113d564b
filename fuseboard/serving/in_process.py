"""Call the apps of this process as a broker calls functions: with a timeout."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from werkzeug.test import run_wsgi_app

from fuseboard import logs
from fuseboard.delivery.local_broker import FunctionAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIApplication

    from cloudevents.core.bindings.http import HTTPMessage

MAX_THREADS: Final = 64
"""The relay and the clock have 16 lanes each; the rest is for late calls."""


class InProcess:
    """Calls apps by their names, each call in a thread that is used again.

    A late call is given up and its answer dropped; as over the wire, the function goes on working.
    """

    def __init__(self, apps: Mapping[str, WSGIApplication], max_threads: int = MAX_THREADS) -> None:
        self._apps = apps
        self._max_threads = max_threads
        self._lock = Lock()
        self._threads: list[_Caller] = []
        self._idle: deque[_Caller] = deque()

    def post(self, name: str, message: HTTPMessage, timeout_s: float) -> FunctionAnswer:
        """Return the app's answer; 500 for a missing answer, as in Knative (``filter_handler.go``)."""
        caller = self._caller()
        if caller is None:
            return self._none(name, f"{self._max_threads} calls are under way")
        answer = caller.call(self._apps[name], message)
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            return self._none(name, f"no answer within {timeout_s:g} s")

    def close(self) -> None:
        """End the idle threads; busy threads end with the process."""
        with self._lock:
            for caller in self._threads:
                caller.end()

    def _caller(self) -> _Caller | None:
        with self._lock:
            if self._idle:
                return self._idle.pop()  # the last used thread: its connection to the store is warm
            if len(self._threads) >= self._max_threads:
                return None
            caller = _Caller(self._idle)
            self._threads.append(caller)
        return caller

    def _none(self, name: str, reason: str) -> FunctionAnswer:
        logs.logger().warning("broker.no_answer", function=name, error=reason)
        return FunctionAnswer(500, {}, f"dispatch error: {reason}".encode())


class _Caller:
    """A thread that makes calls in turn."""

    def __init__(self, idle: deque[_Caller]) -> None:
        self._idle = idle
        self._calls: SimpleQueue[tuple[Future[FunctionAnswer], WSGIApplication, HTTPMessage] | None] = SimpleQueue()
        # A daemon: the process must not wait for a call that is late when it ends.
        Thread(target=self._run, name="call", daemon=True).start()

    def call(self, app: WSGIApplication, message: HTTPMessage) -> Future[FunctionAnswer]:
        """Begin a call."""
        answer: Future[FunctionAnswer] = Future()
        self._calls.put((answer, app, message))
        return answer

    def end(self) -> None:
        """End after the call under way."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call_ := self._calls.get()) is not None:
            answer, app, message = call_
            try:
                found = call(app, message)
            except BaseException as error:  # noqa: BLE001  - raised in the thread that waits for the answer
                self._idle.append(self)
                answer.set_exception(error)
            else:
                self._idle.append(self)  # first: the next call finds this thread, and needs no other
                answer.set_result(found)


def call(app: WSGIApplication, message: HTTPMessage) -> FunctionAnswer:
    """Post a message to an app of this process, as if over the wire, and wait for the answer."""
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in message.headers.items()}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": message.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(message.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(message.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }
    chunks, status, answered = run_wsgi_app(app, environ)
    return FunctionAnswer(int(status.split()[0]), {name.lower(): value for name, value in answered}, b"".join(chunks))
