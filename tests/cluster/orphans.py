"""End the processes of a starter that died without ending them, as by SIGKILL.

Runs as a process of its own, told on standard input which process groups there are: `+ID` when one
starts, `-ID` when it has ended. The input ends when its starter does, whatever the cause.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 5.0


def living(groups: Iterable[int]) -> set[int]:
    """Return those of the process groups that still have a process."""
    return {group for group in groups if _send(group, 0)}


def end(groups: Iterable[int], grace_s: float = GRACE_S) -> None:
    """Ask the groups to end; after the grace period, make them."""
    left = {group for group in groups if _send(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = living(left)
    for group in left:
        _send(group, signal.SIGKILL)


def _send(group: int, what: int) -> bool:
    try:
        os.killpg(group, what)
    except ProcessLookupError:
        return False
    return True


def _main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    end(groups)


if __name__ == "__main__":
    _main()
