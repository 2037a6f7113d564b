"""Processes that die, are overtaken, or lose an answer, between any two of their effects.

A process has a ``RedisStore`` of its own, with its own copies of the rows, over a real connection to a real server. An
*effect* is a script of the store or a request to the cluster. A plan says before or after which of them what happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

import redis
from msgspec.structs import replace

from fuseboard.errors import ClusterUnavailable
from fuseboard.stores.connection import ThreadConnection, connect
from fuseboard.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Manifest
    from fuseboard.cluster.rehearsal import Rehearsal
    from fuseboard.stores.records import Change, Decide
    from tests.proofs.twin import Twin

Answer = TypeVar("Answer")

DIES_BEFORE: Final = "dies before"
DIES_AFTER: Final = "dies after"
UNANSWERED: Final = "unanswered"


class Killed(Exception):
    """The process is gone."""


class Plan:
    """What goes wrong with which effect of one action; what is none of the faults happens in between."""

    def __init__(self, faults: Mapping[int, str] | None = None, between: Callable[[str], None] | None = None) -> None:
        self._faults, self._between, self._number = faults or {}, between, -1
        self.overtaken = False

    def carry_out(self, effect: Callable[[], Answer], unanswered: Exception) -> Answer:
        """Have one effect, or not, or not be told."""
        self._number += 1
        fault = self._faults.get(self._number, "")
        if fault == DIES_BEFORE:
            raise Killed
        if self._between is not None and fault not in ("", DIES_AFTER, UNANSWERED):
            self.overtaken = True
            self._between(fault)
        answer = effect()
        if fault == DIES_AFTER:
            raise Killed
        if fault == UNANSWERED:
            raise unanswered
        return answer


class _Watched(ThreadConnection):
    """The connection of a process: what its scripts have written is told to the twin, whoever learns of it."""

    def __init__(self, client: redis.Redis, process: Process) -> None:
        super().__init__(client)
        self._process = process

    def _call(self, command: tuple[Any, ...]) -> Any:  # noqa: ANN401  - what Redis answers
        return self._process.plan.carry_out(lambda: self._told(command), redis.ConnectionError("the answer is lost"))

    def _told(self, command: tuple[Any, ...]) -> Any:  # noqa: ANN401
        answer = super()._call(command)
        if isinstance(answer, list) and answer[0] == 1:
            self._process.wrote()
        return answer


class Process:
    """One process that runs functions: a store, and a way to the cluster. Its time passes as the twin's does."""

    rehearses: ClassVar[bool] = True

    def __init__(self, url: str, cluster: Rehearsal, twin: Twin) -> None:
        self._client = connect(url)
        self._connection = _Watched(self._client, self)
        self.store = RedisStore(self._client, self._connection)
        self.plan = Plan()
        self._cluster, self._twin = cluster, twin
        self._decided: tuple[str, Decide, int, int, Change] | None = None

    def end(self) -> None:
        """Be gone."""
        self.store.close()

    def wrote(self) -> None:
        """Let the twin do what the script has done."""
        self._twin.change(*cast("tuple[str, Decide, int, int, Change]", self._decided))

    # -- a store, as far as the functions need one -------------------------------------------------------------------

    def read(self, key: str) -> Row:
        record = self.store.read(key)
        return replace(record, now=record.now + self._twin.passed)

    def change(self, key: str, decide: Decide) -> Change:
        def at_our_time(record: Row) -> Change:
            change = decide(replace(record, now=record.now + self._twin.passed))
            self._decided = key, decide, record.now, self._twin.passed, change
            return change

        return self.store.change(key, at_our_time)

    # -- a cluster, as far as failover needs one ---------------------------------------------------------------------

    def within(self, seconds: float) -> Process:
        del seconds
        return self

    def assume(self, path: str, body: Manifest) -> None:
        self._cluster.assume(path, body)

    def get(self, path: str) -> Manifest:
        return self._request(lambda: self._cluster.get(path))

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        return self._request(lambda: self._cluster.list(path, label_selector))

    def patch(self, path: str, body: Manifest) -> None:
        self._request(lambda: self._cluster.patch(path, body))

    def _request(self, effect: Callable[[], Answer]) -> Answer:
        return self.plan.carry_out(effect, ClusterUnavailable("no answer"))
