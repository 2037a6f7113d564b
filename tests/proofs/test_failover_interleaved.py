"""Failover under any interleaving: executors that stop, die or are overtaken between any two calls.

Every executor is a thread that stands still before each call to store or cluster until a schedule lets it go on. The
schedule is Hypothesis's: it may also kill one, let time pass, move the breaker, or take the store's memory back.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.failover import Failover
from fuseboard.breaker.placement import Placement, Shares
from fuseboard.breaker.state import State
from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.errors import FuseboardError
from fuseboard.failover.begin import LEASE_MS
from fuseboard.stores.records import Change
from fuseboard.testing.panel import row_of
from tests.functions.world import KEY, Killed, World, fence_of, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState
    from fuseboard.cluster import Manifest

WITHIN_S = 60.0
"""One call takes no time: who takes so long has hung."""

STATES = [State.OPEN, State.LIMITED, State.HALF_OPEN, State.CLOSED]


class Recorded(Rehearsal):
    """A cluster that keeps every patch that had an effect."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[Manifest] = []

    def patch(self, path: str, body: Manifest) -> None:
        super().patch(path, body)
        self.applied.append(body)


class Executor:
    """Handles one event, one call at a time; nothing that it does depends on how long it stands still."""

    rehearses: ClassVar[bool] = True

    def __init__(self, world: World, cluster: Recorded, name: str) -> None:
        self._world, self._cluster, self._event = world, cluster, told(name)
        self._go, self._stopped, self._killed, self.over = Event(), Event(), False, False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._stopped.wait(WITHIN_S)

    def proceed(self, *, kill: bool = False) -> None:
        """Let it make its next call, and wait until it stands still again."""
        self._killed = self._killed or kill
        self._stopped.clear()
        self._go.set()
        assert self._stopped.wait(WITHIN_S)

    def _run(self) -> None:
        try:
            Failover(self, self).handle(self._event)  # type: ignore[arg-type]  # it is both, as far as is needed
        except (Killed, FuseboardError):
            pass
        finally:
            self.over = True
            self._stopped.set()

    def _turn(self) -> None:
        self._stopped.set()
        self._go.wait()
        self._go.clear()
        if self._killed:
            raise Killed

    def within(self, seconds: float) -> Executor:
        del seconds
        return self

    def assume(self, path: str, body: Manifest) -> None:
        self._cluster.assume(path, body)

    def get(self, path: str) -> Manifest:
        self._turn()
        return self._cluster.get(path)

    def list(self, path: str, label_selector: Mapping[str, str]) -> None:
        del path, label_selector
        self._turn()

    def patch(self, path: str, body: Manifest) -> None:
        self._turn()
        self._cluster.patch(path, body)

    def read(self, key: str) -> Row:
        self._turn()
        return self._world.store.read(key)

    def change(self, key: str, decide: Callable[[Row], Change]) -> Change:
        self._turn()
        return self._world.store.change(key, decide)


def act(world: World, cluster: Recorded, executors: list[Executor], move: tuple[str, int]) -> None:
    """Make one move of a schedule."""
    kind, number = move
    alive = [each for each in executors if not each.over]
    match kind:
        case "begin" if len(alive) < 4:
            executors.append(Executor(world, cluster, f"{number}"))
        case "proceed" | "kill" if alive:
            alive[number % len(alive)].proceed(kill=kind == "kill")
        case "transition":
            world.ask(STATES[number % len(STATES)])
        case "wait":
            world.now += number * 1_000


def finish(world: World, cluster: Recorded, executors: list[Executor]) -> None:
    """Let everybody come to an end, then let the clock do its work until nothing is owed."""
    for executor in executors:
        while not executor.over:
            executor.proceed()
    for _ in range(10):
        record = world.store.read(KEY)
        if record.debt_due is None:
            return
        world.due()
        world.now += LEASE_MS
        Failover(world.store, cluster).handle(told(f"clock-{world.now}"))


def served(cluster: Recorded) -> Shares:
    """Return who is served by the Service as it is."""
    path = "/api/v1/namespaces/shop/services/login"
    cluster.assume(path, {"metadata": {}, "spec": {"selector": {"track": "primary"}}})
    track = cluster.get(path)["spec"]["selector"].get("track")
    return {"primary": Shares(), "standby": Shares(target=0, standby=100)}.get(track, Shares(target=50, standby=50))


@contextmanager
def all_ended() -> Iterator[list[Executor]]:
    """Return executors, of which none is left standing when an example fails."""
    executors = list[Executor]()
    try:
        yield executors
    finally:
        for executor in executors:
            while not executor.over:
                executor.proceed(kill=True)


def one_effect_per_fence(schedule: list[tuple[str, int]]) -> None:
    """I1, I2 and I19: no fence has two effects, fences only rise, and in the end the Service is as it should be."""
    world, cluster = World(), Recorded()
    with all_ended() as executors:
        for move in [("transition", 0), ("begin", 0), *schedule]:
            act(world, cluster, executors, move)
        finish(world, cluster, executors)
    fences = [fence_of(patch) for patch in cluster.applied]
    assert fences == sorted(set(fences))
    assert row_of(state=world.breaker, placement=world.placement).debt_due is None
    assert (
        served(cluster)
        == row_of(policy=world.store.read(KEY).policy, state=world.breaker).wanted
        == world.placement.shares
    )
    assert not any(entry.kind == "memory" for entry in world.store.journal([KEY], 1_000))


def whatever_the_store_forgets(schedule: list[tuple[str, int]]) -> None:
    """I1 and I2 hold when the store goes back to what it was, or to nothing; and debts are paid even so."""
    world, cluster = World(), Recorded()
    memory: list[tuple[BreakerState, Placement]] = [(world.breaker, world.placement)]
    with all_ended() as executors:
        for move in [("transition", 0), ("begin", 0), *schedule]:
            if move[0] == "remember":
                memory.append((world.breaker, world.placement))
            elif move[0] == "forget":
                back = memory[-1]
                world.store.change(KEY, lambda _, back=back: Change(*back))  # type: ignore[misc]
            else:
                act(world, cluster, executors, move)
        finish(world, cluster, executors)
    world.ask(State.OPEN)
    finish(world, cluster, [])
    fences = [fence_of(patch) for patch in cluster.applied]
    assert fences == sorted(set(fences))
    assert row_of(state=world.breaker, placement=world.placement).debt_due is None
    assert served(cluster) == row_of(policy=world.store.read(KEY).policy, state=world.breaker).wanted


moves = st.tuples(
    st.sampled_from(["begin", "begin", "proceed", "proceed", "proceed", "proceed", "transition", "wait", "kill"]),
    st.integers(0, 20),
)
schedules = st.lists(moves, max_size=60)
forgetful = st.lists(moves | st.just(("remember", 0)) | st.just(("forget", 0)), max_size=60)


def sampled(examples: int) -> settings:
    """Return settings for a number of schedules."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@sampled(300)
@given(schedules)
def test_one_effect_per_fence_and_every_debt_is_paid(schedule: list[tuple[str, int]]) -> None:
    """Executors may stop, die or be overtaken anywhere."""
    one_effect_per_fence(schedule)


@sampled(300)
@given(forgetful)
def test_whatever_the_store_forgets(schedule: list[tuple[str, int]]) -> None:
    """The store may also lose its memory of an executor's work."""
    whatever_the_store_forgets(schedule)


@pytest.mark.long
@sampled(10_000)
@given(schedules)
def test_one_effect_per_fence_and_every_debt_is_paid_in_the_long_form(schedule: list[tuple[str, int]]) -> None:
    """The same property over many more schedules."""
    one_effect_per_fence(schedule)


@pytest.mark.long
@sampled(10_000)
@given(forgetful)
def test_whatever_the_store_forgets_in_the_long_form(schedule: list[tuple[str, int]]) -> None:
    """The same property over many more schedules."""
    whatever_the_store_forgets(schedule)
