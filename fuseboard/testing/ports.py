"""Free ports, chosen at random by the kernel: tests in parallel processes rarely get the same port."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return an unused port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
