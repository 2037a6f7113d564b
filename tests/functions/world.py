"""A store with one breaker, a clock that a test sets, and the events that wake failover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement, Shares
from fuseboard.events.event import Event as CloudEvent
from fuseboard.events.types import BreakerOpened, FailoverCompleted, FailoverDone, StepDue
from fuseboard.stores.records import Change
from fuseboard.testing import policies
from fuseboard.testing.memory import MemoryStore

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState, State
    from fuseboard.cluster import Manifest
    from fuseboard.policy.spec import Policy

KEY = "shop/login"
START = 1_750_000_000_000
PRIMARY = {"app": "login", "track": "primary"}
STANDBY = {"app": "login", "track": "standby"}
COMMON = {"app": "login"}
AWAY = Shares(target=0, standby=100)
BOTH = Shares(target=50, standby=50)


def policy_of(**spec: object) -> Policy:
    """Return the policy of the breaker under test, with these changes."""
    route = {"name": "login", "selectors": {"target": PRIMARY, "standby": STANDBY}}
    return policies.movable(**({"route": route} | spec))


class World:
    """A store with a clock that is set by hand, and one breaker."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.now = START
        self.store = MemoryStore(lambda: self.now)
        self.store.apply([policy or policy_of()])

    @property
    def placement(self) -> Placement:
        return self.store.read(KEY).placement

    @property
    def breaker(self) -> BreakerState:
        return self.store.read(KEY).state

    def ask(self, state: State, held_until: int = 0) -> CloudEvent:
        """Move the breaker, and return the event that tells of it."""

        def decide(record: Row) -> Change:
            epoch = record.state.epoch + 1
            moved = replace(record.state, state=state, epoch=epoch, since=record.now, held_until=held_until)
            return Change(moved, record.placement)

        epoch = self.store.change(KEY, decide).state.epoch
        return told(f"epoch-{epoch}")

    def on_trial(self, share: int) -> None:
        """Let a trial ask for one of its shares."""

        def decide(record: Row) -> Change:
            return Change(replace(record.state, trial=share, trial_since=record.now), record.placement)

        self.store.change(KEY, decide)

    def due(self) -> CloudEvent:
        """Wait until the debt is due, and return the event that the clock sends."""
        record = self.store.read(KEY)
        due = record.debt_due
        assert due is not None
        self.now = max(self.now, due)
        return CloudEvent(id=f"due-{self.now}", source="/clock", subject=KEY, data=StepDue(due_at=due))

    def kinds(self) -> list[tuple[str, str]]:
        """Return kind and result of all journal entries, oldest first."""
        return [(entry.kind, entry.result) for entry in reversed(self.store.journal([KEY], 100))]


def told(name: str) -> CloudEvent:
    """Return an event that says anything about the breaker."""
    data = BreakerOpened(state="OPEN", previous="CLOSED", epoch=1, mode="Enforce", since=START, reason="test")
    return CloudEvent(id=name, source="/fuseboard", subject=KEY, data=data, extensions={"traceparent": "00-1-2-01"})


def done(reply: CloudEvent | None, kind: type[FailoverDone] = FailoverCompleted) -> FailoverDone:
    """Return what a reply says, which is of this kind."""
    assert reply is not None
    assert isinstance(reply.data, kind)
    return reply.data


class Killed(BaseException):
    """The process is no more."""


def fence_of(patch: Manifest) -> tuple[int, int]:
    """Return the fence that a patch carries."""
    mark = msgspec.json.decode(patch["metadata"]["annotations"]["breaker.fuseboard.dev/login"])
    return mark["epoch"], mark["step"]
