"""Probe the pods of open breakers every few seconds, for as long as the result can decide about a trial."""

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
READS_PER_ROUND: Final = 500
"""Closed breakers whose state is read in a round, in turns; the breakers that were open last time are always read."""
PROBED_STATES: Final = frozenset({State.OPEN, State.HALF_OPEN})

_NOT_PROBED: Final = ""


class ProbeRounds:
    """Finds the breakers that have a probe and are open; used by one thread.

    The readiness of a target is not reported before the state of the breaker is known and the first result of an open
    breaker is there: a report without a result would permit a trial.
    """

    def __init__(self, store: Store, readiness: Readiness, prober: Prober) -> None:
        """Start with an empty breaker table."""
        self._store = store
        self._readiness = readiness
        self._prober = prober
        self._policies: Mapping[str, Policy] = {}
        self._probes: dict[str, Probe] = {}
        self._known: set[str] = set()
        """Breakers whose state has been read."""
        self._open: set[str] = set()
        self._waiting: set[str] = set()
        """Open breakers whose pods have not been listed yet."""
        self._turn = 0
        self._last_round = float("-inf")
        self.every_s = EVERY_S

    def run_once(self, policies: Mapping[str, Policy]) -> None:
        """Collect results, and begin the next round when it is due."""
        if policies is not self._policies:
            self._set_table(policies)
        for breaker, result in self._prober.results():
            if breaker in self._open:
                self._readiness.set_probe_result(self._policies[breaker], result)
        try:
            for key in self._due():
                self._probe_if_open(key)
        except StoreUnavailable as error:
            logs.logger().warning("apiserver.waiting", error=str(error))

    def end(self) -> None:
        """Stop probing."""
        self._prober.end()

    def _set_table(self, policies: Mapping[str, Policy]) -> None:
        before, self._policies = self._probes, policies
        probes = {key: each.spec.recover.probe for key, each in policies.items()}
        self._probes = {key: probe for key, probe in probes.items() if probe is not None}
        for key in before.keys() - self._probes.keys():
            self._stop_probing(key)
            self._known.discard(key)

    def _due(self) -> Iterable[str]:
        """Return the breakers to read: new breakers at once, and in each round the open and some of the others."""
        if time.monotonic() < self._last_round + self.every_s:
            return [*islice(self._probes.keys() - self._known, READS_PER_ROUND), *self._waiting]
        self._last_round = time.monotonic()
        others = [key for key in self._probes if key not in self._open]
        start = self._turn % max(len(others), 1)
        self._turn = start + READS_PER_ROUND
        return [*self._open, *islice(others[start:] + others[:start], READS_PER_ROUND)]

    def _probe_if_open(self, key: str) -> None:
        policy, is_open = self._policies[key], self._is_open(key)
        if not is_open:
            self._stop_probing(key)
        if key not in self._known and not is_open:
            self._readiness.set_probe_result(policy, _NOT_PROBED)
        self._known.add(key)
        if is_open:
            self._open.add(key)
            self._begin_probe(key, policy)

    def _begin_probe(self, key: str, policy: Policy) -> None:
        target = self._readiness.target(policy)
        self._waiting.discard(key)
        if target is None:
            self._waiting.add(key)
        elif target.desired:
            self._prober.begin(key, target.ready_pods, self._probes[key])
        else:
            self._readiness.set_probe_result(policy, _NOT_PROBED)  # scaled to zero: there is no pod to probe

    def _is_open(self, key: str) -> bool:
        try:
            return self._store.read(key).state.state in PROBED_STATES
        except (NotEnrolled, RecordCorrupt):
            return False

    def _stop_probing(self, key: str) -> None:
        """Stop probing a breaker's pods, and withdraw the last result, which grows stale."""
        self._waiting.discard(key)
        if key in self._open:
            self._open.remove(key)
            self._prober.forget(key)
            if key in self._policies:
                self._readiness.set_probe_result(self._policies[key], _NOT_PROBED)
