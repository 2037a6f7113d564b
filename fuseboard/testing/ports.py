"""Free ports, chosen by the kernel at random: tests of several processes hardly ever meet on one."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
