"""The store in memory is equal to the store in Valkey."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, cast

import pytest
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement, Result
from fuseboard.breaker.state import State
from fuseboard.breaker.step import step
from fuseboard.events.event import Event
from fuseboard.events.types import Data, Failure, FailureDetected, FailureResolved, TimerElapsed
from fuseboard.stores.keys import due_keys
from fuseboard.stores.records import Change, Entry
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import policy
from tests.stores.decisions import refused

if TYPE_CHECKING:
    import redis

    from fuseboard.breaker.row import Row
    from fuseboard.policy.spec import Policy
    from fuseboard.stores.redis import RedisStore
    from tests.stores.valkeys import Opener

STEPS: Final = 2_000


class Twins:
    """The same signals for two stores in Valkey and one in memory; time passes as told."""

    def __init__(self, real: list[RedisStore], policies: list[Policy], seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  - a seed that can be repeated
        self.now = 0
        self.passed = 0
        self.real = real
        self.memory = MemoryStore(lambda: self.now)
        self.policies = {each.key: each for each in policies}
        self.told: list[tuple[str, Event]] = []
        self.apply()

    def apply(self) -> None:
        """Make the policies the table, everywhere."""
        policies = list(self.policies.values())
        assert self.random.choice(self.real).apply(policies) == self.memory.apply(policies)

    def edit(self) -> None:
        """Change a policy, or take one out, or put it back in."""
        key = self.random.choice(["shop/a", "shop/b"])
        edited = policy(key[5:], trip={"limitAt": self.random.choice([1, 3, 5])})
        if self.policies.pop(key, None) is None or self.random.random() < 0.5:
            self.policies[key] = edited
        self.apply()

    def signal(self) -> tuple[str, Event]:
        """Return a new signal, or one that was delivered before."""
        if self.told and self.random.random() < 0.2:
            return self.random.choice(self.told[-20:])
        chance = self.random.random()
        name, key = self.random.choice("xyz"), self.random.choice(["shop/a", "shop/b", "web/c"])
        failure = Failure(
            key=f"{name}{len(self.told)}",
            cause=name,
            condition=name if self.random.random() < 0.5 else "",
            severity=self.random.choice(["", "warning", "critical"]) if chance < 0.2 else "",
        )
        data: Data = TimerElapsed(due_at=0)
        if chance < 0.7:
            data = FailureResolved((failure,)) if chance > 0.4 else FailureDetected((failure,))
        late = self.random.choice([0, 0, 5_000])
        moment = time.time_ns() // 1_000_000 + self.passed - late
        self.told.append((key, Event(id=str(len(self.told)), source="/s", subject=key, data=data, time=moment)))
        return self.told[-1]

    def step(self) -> None:
        """Deliver one signal everywhere, and compare what became of it."""
        self.passed += self.random.choice([0, 0, 100, 30_000, 100_000, 700_000])
        key, event = self.signal()
        place = self.random.random() < 0.3

        def decide(record: Row) -> Change:
            self.now = record.now
            transition = step(
                row_of(
                    policy=record.policy, state=record.state, placement=record.placement, now=record.now + self.passed
                ),
                event,
            )
            entries = (Entry(kind="step", weighed=transition.weighed),) if transition.weighed else ()
            placement = placed(record, self.passed) if place else record.placement
            return Change(transition.after.state, placement, entries, transition.announcement(event))

        if key not in self.policies:
            refused(self.random.choice(self.real), key)
            return
        told = self.random.choice(self.real).change(key, decide)
        assert told == self.memory.change(key, decide)
        found, expected = self.random.choice(self.real).read(key), self.memory.read(key)
        assert replace(found, now=0) == replace(expected, now=0)


def placed(record: Row, passed: int) -> Placement:
    """Return the placement that the breaker asks for."""
    return Placement(
        epoch=record.state.epoch,
        step=1,
        trial=record.state.trial,
        shares=record.wanted,
        result=Result.VERIFIED,
        verified_at=record.now + passed,
    )


def schedule(client: redis.Redis, namespace: str) -> dict[str, int]:
    """Return what the clock waits for in a namespace."""
    rows = cast("list[tuple[bytes, float]]", client.zrange(due_keys(namespace)[0], 0, -1, withscores=True))
    return {f"{namespace}/{member.decode()}": int(at) for member, at in rows}


@pytest.mark.parametrize("seed", range(3))
def test_the_twin_in_memory_is_equal(redis_url: str, client: redis.Redis, opened: Opener, seed: int) -> None:
    """After any sequence of signals, edits and lost scripts, state, replies, journal and dues are those of the twin."""
    twins = Twins([opened(redis_url), opened(redis_url)], [policy("a"), policy("b"), policy("c", "web")], seed)
    for number in range(STEPS // 3):
        twins.step()
        if number % 100 == 50:
            twins.edit()
        if number % 100 == 75:
            client.script_flush()
    for key in twins.policies:
        kinds = [(entry.kind, entry.weighed) for entry in twins.real[0].journal([key], 500)]
        assert kinds == [(entry.kind, entry.weighed) for entry in twins.memory.journal([key], 500)]
    real = {**schedule(client, "shop"), **schedule(client, "web")}
    forced = {key for key, dues in twins.memory._rows.items() if key not in twins.memory._due.scheduled and dues}
    for (key, kind), (at, _) in twins.memory._due.entries.items():
        namespace, _, name = key.partition("/")
        found = real.pop(f"{namespace}/{kind}:{name}")
        assert found == at or key in forced
    assert real == {}
    assert any(each.state is not State.CLOSED or each.epoch > 10 for each, _ in twins.memory._rows.values())
