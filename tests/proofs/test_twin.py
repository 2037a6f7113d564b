"""The store in a real Valkey is its pure twin, whatever happens to it and to those who use it.

A Hypothesis state machine: several processes deliver signals and pay debts; they die, are overtaken, or lose an answer
at any of their effects; events come twice, late and out of order; time passes and is set back; the store loses its
memory or goes back to an older one. After every step the invariants of the design are checked by their names.
``pytest tests/proofs/test_twin.py --steps 1000000`` is the long form (``make test-long``).
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import Struct
from msgspec.structs import replace

from functions.breaker import Breaker as BreakerFunction
from functions.failover import Failover
from fuseboard.breaker.placement import Fence, Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.step import MAX_REMEMBERED
from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.errors import FuseboardError, Refused
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected, FailureResolved, OperatorRequested, StepDue, TimerElapsed
from fuseboard.failover.begin import LEASE_MS
from fuseboard.policy.spec import Policy
from fuseboard.stores.keys import due_keys, keys_of, members_of
from fuseboard.stores.records import DEBT, TIMER, Change
from fuseboard.stores.redis import RedisStore
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import movable
from fuseboard.testing.strategies import SPECS, signals
from tests.proofs.faults import DIES_AFTER, DIES_BEFORE, UNANSWERED, Killed, Plan, Process
from tests.proofs.twin import Twin, TwinRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.events.types import BreakerMoved, Data
    from fuseboard.stores import Store

SHARDS: Final = 8
LENGTH: Final = 50
PROCESSES: Final = 3
FIELDS: Final = ("breaker", "placement", "dues", "policy")
REMEMBERED_MS: Final = 20 * 3_600_000
LARGEST_RECORD: Final = 64 * 1024
ROUNDS: Final = 30

_numbers = count()
_breaker: Final = msgspec.json.Decoder(BreakerState).decode
_placement: Final = msgspec.json.Decoder(Placement).decode
_policy: Final = msgspec.json.Decoder(Policy).decode


class Fenced(Rehearsal):
    """A cluster that keeps the fence of every patch that had an effect, and fails as told."""

    def __init__(self, twin: Twin, key: str) -> None:
        super().__init__()
        self._twin, self._key = twin, key
        self.fences: list[Fence] = []
        self.ready: int | None = None
        self.refuses = False

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        del path
        pod = {
            "metadata": {"name": "p", "labels": label_selector},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        return None if self.ready is None else [pod] * self.ready

    def patch(self, path: str, body: Manifest) -> None:
        if self.refuses:
            raise Refused("forbidden")
        super().patch(path, body)
        (text,) = body["metadata"]["annotations"].values()
        mark = json.loads(text)
        fence = Fence(mark["epoch"], mark["step"])
        assert not self.fences or fence > self.fences[-1], "I1, I2: a fence has a second effect, or has gone back"
        self.fences.append(fence)
        self._check_authority(fence, Shares(**mark["shares"]), moves="spec" in body)

    def _check_authority(self, fence: Fence, shares: Shares, *, moves: bool) -> None:
        intent = self._twin.intents.get((self._key, fence.epoch, fence.step))
        assert intent is not None, "I16: nobody has put on record what was done"
        if not moves:
            return
        undone = intent.reason.startswith("undo")
        assert undone or intent.shares == msgspec.to_builtins(shares), "I16: the breaker did not ask for this"
        assert undone or self._twin.now >= self._twin.quiet_until.get(self._key, 0), "I17: acted without a memory"

    def served(self, path: str) -> Shares:
        """Return who is served by the Service as it is."""
        labels = {"app": "login", "track": "target"}
        self.assume(path, {"metadata": {}, "spec": {"selector": labels}})
        track = self.get(path)["spec"]["selector"].get("track")
        return {"target": Shares(), "standby": Shares(0, 100)}.get(track, Shares(50, 50))


class Answer(Struct, frozen=True):
    """What the first delivery of an event was answered, if that is known."""

    at: int
    reply: Event | None = None
    known: bool = False

    @property
    def epoch(self) -> int:
        """The epoch of the transition that it tells of."""
        return cast("BreakerMoved", cast("Event", self.reply).data).epoch


FAILING, RESOLVING, LATE, OVERTAKEN = "failing", "resolving", "late", "overtaken"
faults = st.dictionaries(
    st.integers(0, 9),
    st.sampled_from([DIES_BEFORE, DIES_AFTER, UNANSWERED, FAILING, RESOLVING, LATE, OVERTAKEN]),
    max_size=2,
)
whom = st.integers(0, PROCESSES - 1)


class Table(RuleBasedStateMachine):
    """One breaker in Redis, its twin, a cluster, and three processes."""

    url = ""
    client: redis.Redis
    others: RedisStore
    """Who works on other breakers."""
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.namespace = f"n{next(_numbers)}"
        self.key = f"{self.namespace}/login"
        self.keys = (*keys_of(self.key), due_keys(self.namespace)[1])
        self.twin = Twin(lambda: time.time_ns() // 1_000_000)
        self.cluster = Fenced(self.twin, self.key)
        self.processes = [self.process() for _ in range(PROCESSES)]
        self.events: list[Event] = []
        self.answers: dict[str, Answer] = {}
        self.lived = 0
        """How much time has passed or was taken back, in all."""
        self.memory: tuple[dict[str, bytes | None], TwinRow, Policy] | None = None
        self.apply(movable("login", self.namespace), 0)

    def process(self) -> Process:
        """Start a process."""
        return Process(self.url, self.cluster, self.twin)

    @property
    def row(self) -> TwinRow:
        """The breaker, as it must be."""
        return self.twin.rows[self.key]

    # -- what can happen ---------------------------------------------------------------------------------------------

    @rule(number=whom, data=signals, delay=st.sampled_from([0, 0, 0, 1, 500, 30_000, 700_000]), faults=faults)
    def a_signal_comes(self, number: int, data: Data, delay: int, faults: dict[int, str]) -> None:
        """Something new is said."""
        self.events.append(self.said(data, delay))
        self.deliver(number, self.events[-1], faults)

    @rule(number=whom, which=st.integers(0, LENGTH), later=st.sampled_from([0, 0, 0, 1, 60_000]), faults=faults)
    def it_comes_again(self, number: int, which: int, later: int, faults: dict[int, str]) -> None:
        """Something is delivered again; ``later`` is by how much it was taken in later: then it is a repeat."""
        if self.events:
            event = self.events[-1 - which % len(self.events)]
            self.deliver(number, event.at((event.time or 0) + later) if later else event, faults)

    @rule(number=whom, faults=faults)
    def a_hint_comes(self, number: int, faults: dict[int, str]) -> None:
        """Somebody says that a placement is owed, whether it is or not."""
        self.pay(number, faults)

    @rule(number=whom, faults=faults)
    def the_clock_looks(self, number: int, faults: dict[int, str]) -> None:
        """What is due by now is told."""
        timer, debt = members_of(self.key)
        waiting = dict(cast("list[tuple[bytes, float]]", self.client.zrange(self.keys[1], 0, -1, withscores=True)))
        if waiting.get(timer.encode(), self.twin.now + 1) <= self.twin.now:
            self.deliver(number, self.said(TimerElapsed(due_at=0), 0), faults)
        if waiting.get(debt.encode(), self.twin.now + 1) <= self.twin.now:
            self.pay(number, faults)

    @rule(by=st.sampled_from([1, 250, 1_000, LEASE_MS, 30_000, 100_000, 700_000, 3_600_000]))
    def time_passes(self, by: int) -> None:
        """Nobody says anything for a while."""
        self.twin.passed += by
        self.lived += by

    @rule(by=st.sampled_from([500, 59_000, 61_000, 600_000, 3_600_000]))
    def the_clock_is_set_back(self, by: int) -> None:
        """The server's clock is corrected."""
        self.twin.set_back(by)
        self.lived += by

    @rule(number=whom, by=st.sampled_from([-3_600_000, -300, 300, 3_600_000]))
    def a_process_is_wrong_about_the_time(self, number: int, by: int) -> None:
        """One process takes the server's time for another."""
        clock = self.processes[number].store._clock
        clock.set(clock.now() + by)

    @rule(number=whom, spec=st.sampled_from(SPECS))
    def the_policy_is_edited(self, number: int, spec: dict[str, Any]) -> None:
        """The user changes the policy."""
        self.apply(movable("login", self.namespace, **spec), number)

    @rule(ready=st.sampled_from([None, None, 0, 1]), refuses=st.sampled_from([False, False, False, True]))
    def the_cluster_changes(self, ready: int | None, refuses: bool) -> None:  # noqa: FBT001  - drawn
        """Pods get ready or not, the API server lets us or not."""
        self.cluster.ready, self.cluster.refuses = ready, refuses

    @rule(state=st.sampled_from(State), placed=st.booleans())
    def a_dependency_moves(self, state: State, placed: bool) -> None:  # noqa: FBT001  - drawn
        """The breaker that ours may depend on is in another state."""

        def decide(record: Row) -> Change:
            epoch = record.state.epoch + 1
            placement = Placement(epoch=epoch, verified_at=self.twin.now) if placed else record.placement
            return Change(replace(record.state, state=state, epoch=epoch, since=self.twin.now), placement)

        self.others.change(f"{self.namespace}/db", decide)

    @rule(number=whom)
    def a_process_is_new(self, number: int) -> None:
        """A process ends, another one begins."""
        self.processes[number].end()
        self.processes[number] = self.process()

    @rule()
    def scripts_are_lost(self) -> None:
        """The server forgets its scripts."""
        self.client.script_flush()

    @rule()
    def a_copy_is_made(self) -> None:
        """The server's state is kept, as by a replica that will lag."""
        dumped = {key: self.client.dump(key) for key in self.keys}
        self.memory = dumped, self.row.copy(), self.twin.policies[self.key]

    @rule()
    def memory_goes_back(self) -> None:
        """The server comes back with an older state."""
        if self.memory is not None:
            dumped, row, policy = self.memory
            for key, value in dumped.items():
                self.client.restore(key, 0, value, replace=True) if value else self.client.delete(key)
            self.twin.rows[self.key], self.twin.policies[self.key] = row.copy(), policy
            self.forgotten()

    @rule(number=whom)
    def memory_is_lost(self, number: int) -> None:
        """The server comes back with nothing, and the table is written again."""
        self.client.delete(*self.keys)
        policy = self.twin.policies.pop(self.key)
        del self.twin.rows[self.key]
        self.forgotten()
        self.apply(policy, number)

    # -- how it happens ----------------------------------------------------------------------------------------------

    def said(self, data: Data, delay: int) -> Event:
        """Return an event that was taken in so long ago."""
        name = f"e{len(self.events)}-{self.twin.now}"
        return Event(id=name, source="/s", subject=self.key, data=data, time=self.twin.now - delay)

    def deliver(self, number: int, event: Event, faults: Mapping[int, str]) -> None:
        """Let a process decide on an event; check I3 and I4 where nobody else came in between."""
        before, entries, answer = self.row.breaker, len(self.row.journal), Answer(self.lived)
        with self.acting(number, faults) as (process, plan):
            answer = replace(answer, reply=BreakerFunction(cast("Store", process)).handle(event), known=True)
        steps = [each for each in self.row.journal[entries:] if each.kind == "step"]
        counted = any(each.weighed or each.previous or isinstance(each.signal, OperatorRequested) for each in steps)
        if plan.overtaken:
            return
        name = f"{event.source} {event.id} {event.time}"
        first = self.answers.get(name)
        assert len(steps) <= 1, "I4: decided twice"
        if counted:
            assert first is None or self.lived - first.at > REMEMBERED_MS, "I3: a duplicate had an effect"
            self.answers.pop(name, None)
            self.answers = dict([*self.answers.items(), (name, answer)][-MAX_REMEMBERED:])
        elif first is not None and self.lived - first.at < REMEMBERED_MS:
            assert self.row.breaker == before, "I3: a duplicate has changed the state"
            self.check_answer(name, first, answer)

    def check_answer(self, name: str, first: Answer, answer: Answer) -> None:
        """I3: a duplicate is answered as the first one was, as long as that answer is kept."""
        if not first.known:
            self.answers[name] = replace(answer, at=first.at)
        elif answer.known and first.reply is not None:
            kept = {each.epoch for each in self.row.breaker.replies}
            assert answer.reply == (first.reply if first.epoch in kept else None), "I3: answered otherwise"
        elif answer.known:
            assert answer.reply is None, "I3: answered otherwise"

    def pay(self, number: int, faults: Mapping[int, str]) -> None:
        """Let a process do the step that is owed."""
        with self.acting(number, faults) as (process, _):
            Failover(cast("Store", process), cast("Cluster", process)).handle(self.said(StepDue(due_at=0), 0))

    @contextmanager
    def acting(self, number: int, faults: Mapping[int, str]) -> Iterator[tuple[Process, Plan]]:
        """Let a process do something that may go wrong; one that is killed is started anew."""
        process = self.processes[number]
        process.plan = Plan(faults, lambda kind: self.come_between((number + 1) % PROCESSES, kind))
        try:
            yield process, process.plan
        except Killed:
            self.processes[number] = self.process()
            process.end()
        except FuseboardError:
            pass
        finally:
            process.plan = Plan()

    def come_between(self, number: int, kind: str) -> None:
        """Let another process act while one is between two of its effects."""
        if kind == LATE:
            self.twin.passed += LEASE_MS + 1
        if kind in (LATE, OVERTAKEN):
            self.pay(number, {})
            return
        failure = Failure(key="z", cause="z", condition="z", severity="critical")
        data = FailureDetected if kind == FAILING else FailureResolved
        self.deliver(number, self.said(data(failures=(failure,)), 0), {})

    def apply(self, policy: Policy, number: int) -> None:
        """Let a process write the table."""
        self.processes[number].store.apply([policy, movable("db", self.namespace, mode="Observe")])
        self.twin.edit(policy)

    def forgotten(self) -> None:
        """Take note that what was remembered is not known any more."""
        self.answers = {}
        self.twin.quiet_until = {}

    # -- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def the_store_is_its_twin(self) -> None:
        """I7, I18: record, dues and journal are those of the twin, and no larger than they may be."""
        Table.steps += 1
        self.twin.whole = False
        pipe = self.client.pipeline(transaction=False)
        pipe.hmget(self.keys[0], *FIELDS)
        pipe.zrange(self.keys[1], 0, -1, withscores=True)
        pipe.xlen(self.keys[2])
        (breaker, placement, dues, policy), waiting, length = pipe.execute()
        row = self.row
        assert _breaker(breaker) == row.breaker, "I7: the breaker"
        assert _placement(placement) == row.placement, "I7: the placement"
        assert _policy(policy) == self.twin.policies[self.key], "I7: the policy"
        assert length == len(row.journal) + row.edits, "I7: the journal"
        assert len(breaker) + len(placement) < LARGEST_RECORD, "I18: the record"
        names = {member.encode(): kind for kind, member in zip((TIMER, DEBT), members_of(self.key), strict=True)}
        due = {names[member]: moment for member, moment in waiting if member in names}
        if row.dues is None:
            assert (dues, TIMER in due) == (b"", True), "I7: a new policy is due"
        else:
            assert due == row.dues, "I7: what is due"
        self.twin.whole = True

    def teardown(self) -> None:
        """I19: when everybody lives, what is owed is done, and then nothing more happens."""
        try:
            if self.twin.whole:
                self.settle()
        finally:
            for process in self.processes:
                process.end()
            self.client.delete(*self.keys, keys_of(f"{self.namespace}/db")[0])

    def settle(self) -> None:
        """Let the clock do its work until nothing is owed."""
        self.cluster.ready, self.cluster.refuses = None, False
        for _ in range(ROUNDS):
            due = row_of(state=self.row.breaker, placement=self.row.placement).debt_due
            if due is None:
                break
            self.twin.passed += max(0, due - self.twin.now) + 1
            self.pay(0, {})
        assert not row_of(state=self.row.breaker, placement=self.row.placement).owed, "I19: a debt is never paid"
        served, before = self.cluster.served(f"/api/v1/namespaces/{self.namespace}/services/login"), self.row.placement
        # What was observed only, what was forgotten, and what was asked for before an edit stays as it is until the
        # breaker asks for something.
        if before.result is Result.VERIFIED and self.cluster.fences[-1:] == [Fence(before.epoch, before.step)]:
            asked = self.twin.intents[self.key, before.epoch, before.step].shares
            assert served == before.shares == Shares(**asked), "I19: not as asked for"
        fences = len(self.cluster.fences)
        self.pay(1, {})
        assert (len(self.cluster.fences), self.row.placement) == (fences, before), "I19: something more happened"
        kept = [
            (each.kind, each.event, each.epoch, each.step) for each in self.processes[0].store.journal([self.key], 999)
        ]
        told = [(each.kind, each.event, each.epoch, each.step) for each in reversed(self.row.journal)]
        assert [each for each in kept if each[0] != "policy"] == told, "I4: the journal"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_store_is_its_twin_whatever_happens(
    redis_url: str, shard: int, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """I1 to I8 and I16 to I19 hold after every step of any history."""
    del shard
    # Some examples end early: a tenth more of them, so that it is as many steps at least.
    examples = max(1, request.config.getoption("--steps") * 11 // 10 // SHARDS // LENGTH)
    with redis.Redis.from_url(redis_url) as client:
        Table.url, Table.client, Table.others, Table.steps = redis_url, client, RedisStore(client), 0
        run_state_machine_as_test(
            Table,
            settings=settings(
                max_examples=examples,
                stateful_step_count=LENGTH,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    record_property("steps", Table.steps)
