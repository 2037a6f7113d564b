"""Ask the pods of open breakers, every few seconds, for as long as a probe may decide about them."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.errors import NotEnrolled, RecordCorrupt, StoreUnavailable
from fuseboard.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fuseboard.capacity import Capacity
    from fuseboard.policy import Policy, Probe
    from fuseboard.probing import Prober
    from fuseboard.stores import Store

EVERY_S: Final = 5.0
READS: Final = 500
"""Breakers that are looked up in one round, beside those that were open the last time: the others take turns."""
PROBED: Final = frozenset({State.OPEN, State.HALF_OPEN})


class Rounds:
    """Knows which breakers have a probe and are open; used by one thread."""

    def __init__(self, store: Store, capacity: Capacity, prober: Prober) -> None:
        """Begin with none."""
        self._store = store
        self._capacity = capacity
        self._prober = prober
        self._open: set[str] = set()
        self._turn = 0
        self._looked_at = float("-inf")
        self.every_s = EVERY_S

    def look(self, policies: Mapping[str, Policy]) -> None:
        """Take in what was answered; begin a round when it is time."""
        for breaker, result in self._prober.results():
            if breaker in self._open and breaker in policies:
                self._capacity.probed(policies[breaker], result)
        if time.monotonic() < self._looked_at + self.every_s:
            return
        self._looked_at = time.monotonic()
        probes = {key: each.spec.recover.probe for key, each in policies.items() if each.spec.recover.probe}
        for key in self._open - probes.keys():
            self._close(key, policies)
        try:
            self._begin(policies, probes)
        except StoreUnavailable as error:
            logs.logger().warning("apiserver.waiting", error=str(error))

    def end(self) -> None:
        """Ask nothing any more."""
        self._prober.end()

    def _begin(self, policies: Mapping[str, Policy], probes: Mapping[str, Probe]) -> None:
        for key in self._due(probes):
            if not self._is_open(key):
                self._close(key, policies)
                continue
            self._open.add(key)
            pods = self._capacity.serving(policies[key])
            if pods is not None:
                self._prober.begin(key, pods, probes[key])

    def _due(self, probes: Mapping[str, Probe]) -> Iterable[str]:
        """Return the breakers to look up: those that were open, and some of the others."""
        others = [key for key in probes if key not in self._open]
        start = self._turn % max(len(others), 1)
        self._turn = start + READS
        return [*self._open, *islice(others[start:] + others[:start], READS)]

    def _is_open(self, key: str) -> bool:
        try:
            return self._store.read(key).breaker.state in PROBED
        except (NotEnrolled, RecordCorrupt):
            return False

    def _close(self, key: str, policies: Mapping[str, Policy]) -> None:
        """A breaker's pods are asked no longer: what they answered is not so for ever."""
        if key in self._open:
            self._open.remove(key)
            self._prober.forget(key)
            if key in policies:
                self._capacity.probed(policies[key], "")
