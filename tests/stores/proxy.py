"""A TCP proxy that loses answers when told to: the caller cannot know whether its command was carried out."""

from __future__ import annotations

import contextlib
import socket
from threading import Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 65_536


class Proxy:
    """Passes everything on between its clients and one server."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.lose = 0
        """How many answers it still loses."""
        self.lost = 0

    @property
    def url(self) -> str:
        """Where its clients find it."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    @contextlib.contextmanager
    def running(self) -> Iterator[Proxy]:
        """Run until the block ends."""
        accepting = Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            # What waits in accept() is not woken by close(), but by shutdown().
            for each in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            accepting.join()

    def _accept(self) -> None:
        pumps = []
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                pumps.append(Thread(target=self._pump, args=(client, server, False)))
                pumps.append(Thread(target=self._pump, args=(server, client, True)))
                for pump in pumps[-2:]:
                    pump.start()
        for pump in pumps:
            pump.join()

    def _pump(self, origin: socket.socket, goal: socket.socket, answers: bool) -> None:  # noqa: FBT001  - a thread's
        with contextlib.suppress(OSError):
            while data := origin.recv(CHUNK):
                if answers and self.lose:
                    self.lose -= 1
                    self.lost += 1
                    continue
                goal.sendall(data)
        with contextlib.suppress(OSError):
            goal.shutdown(socket.SHUT_RDWR)
