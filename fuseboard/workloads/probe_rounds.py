"""Ask the pods of open breakers, every few seconds, for as long as a probe may decide about them."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.breaker.state import State
from fuseboard.errors import NotEnrolled, RecordCorrupt, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fuseboard.policy.spec import Policy, Probe
    from fuseboard.stores import Store
    from fuseboard.workloads.probe import Prober
    from fuseboard.workloads.readiness import Readiness

EVERY_S: Final = 5.0
READS: Final = 500
"""Breakers that are looked up in one round, beside those that were open the last time: the others take turns."""
PROBED: Final = frozenset({State.OPEN, State.HALF_OPEN})


class ProbeRounds:
    """Knows which breakers have a probe and are open; used by one thread.

    Until it is known whether a breaker is open, and what its pods then answer, nothing is told of its target: that it
    was not probed would let it try its target.
    """

    def __init__(self, store: Store, capacity: Readiness, prober: Prober) -> None:
        """Begin with none."""
        self._store = store
        self._capacity = capacity
        self._prober = prober
        self._policies: Mapping[str, Policy] = {}
        self._probes: dict[str, Probe] = {}
        self._known: set[str] = set()
        """Breakers of which it is known whether they are open."""
        self._open: set[str] = set()
        self._waiting: set[str] = set()
        """Open ones whose pods are not known yet."""
        self._turn = 0
        self._looked_at = float("-inf")
        self.every_s = EVERY_S

    def look(self, policies: Mapping[str, Policy]) -> None:
        """Take in what was answered; begin a round when it is time."""
        if policies is not self._policies:
            self._know(policies)
        for breaker, result in self._prober.results():
            if breaker in self._open:
                self._capacity.probed(self._policies[breaker], result)
        try:
            for key in self._due():
                self._ask(key)
        except StoreUnavailable as error:
            logs.logger().warning("apiserver.waiting", error=str(error))

    def end(self) -> None:
        """Ask nothing any more."""
        self._prober.end()

    def _know(self, policies: Mapping[str, Policy]) -> None:
        before, self._policies = self._probes, policies
        found = {key: each.spec.recover.probe for key, each in policies.items()}
        self._probes = {key: probe for key, probe in found.items() if probe is not None}
        for key in before.keys() - self._probes.keys():
            self._close(key)
            self._known.discard(key)

    def _due(self) -> Iterable[str]:
        """Return the breakers to look up: new ones at once; in time those that were open, and some of the others."""
        if time.monotonic() < self._looked_at + self.every_s:
            return [*islice(self._probes.keys() - self._known, READS), *self._waiting]
        self._looked_at = time.monotonic()
        others = [key for key in self._probes if key not in self._open]
        start = self._turn % max(len(others), 1)
        self._turn = start + READS
        return [*self._open, *islice(others[start:] + others[:start], READS)]

    def _ask(self, key: str) -> None:
        """Ask the pods of a breaker if it is open."""
        policy, is_open = self._policies[key], self._is_open(key)
        if not is_open:
            self._close(key)
        if key not in self._known and not is_open:
            self._capacity.probed(policy, "")
        self._known.add(key)
        if not is_open:
            return
        self._open.add(key)
        desired = self._capacity.desired(policy)
        self._waiting.discard(key)
        if desired is None:
            self._waiting.add(key)
        elif desired:
            self._prober.begin(key, self._capacity.serving(policy), self._probes[key])
        else:
            self._capacity.probed(policy, "")  # there is nobody to ask, and nobody is wanted

    def _is_open(self, key: str) -> bool:
        try:
            return self._store.read(key).state.state in PROBED
        except (NotEnrolled, RecordCorrupt):
            return False

    def _close(self, key: str) -> None:
        """A breaker's pods are asked no longer: what they answered is not so for ever."""
        self._waiting.discard(key)
        if key in self._open:
            self._open.remove(key)
            self._prober.forget(key)
            if key in self._policies:
                self._capacity.probed(self._policies[key], "")
