"""The parts of this machine that ``fuseboard up`` takes for itself: a state directory and a port."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING, Final

from fuseboard.errors import CannotStart
from fuseboard.settings import user_state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST: Final = "127.0.0.1"


@contextlib.contextmanager
def locked_state_dir() -> Iterator[Path]:
    """Make the state directory and hold its lock: two processes on one store would both act.

    Raises:
        CannotStart: the directory cannot be written, or another process has its lock.

    """
    path = user_state_dir()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise CannotStart(
            f"the state directory {path} cannot be written ({error.strerror}): set XDG_STATE_HOME to another directory"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"another `fuseboard up` uses {path}: stop it, or set XDG_STATE_HOME to another directory for this one"
            ) from error
        yield path


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Bind the port before anything else is started.

    Raises:
        CannotStart: the port is in use, or not allowed.

    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise CannotStart(_port_complaint(port, error)) from error
        yield listener


def _port_complaint(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {HOST} is in use: stop the process that uses it, or choose another with --port"
    return f"port {port} on {HOST} cannot be used ({os.strerror(error.errno or 0)}): choose another with --port"
