"""A breaker with a clock under the control of a test: signals go in, decisions come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fuseboard.breaker.placement import Placement, Result
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState, Dependency, State
from fuseboard.breaker.step import Decision, step
from fuseboard.breaker.transitions import next_due
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import (
    Action,
    CapacityChanged,
    Data,
    Failure,
    FailureDetected,
    FailureResolved,
    LoadChanged,
    OperatorRequested,
    Phase,
    TimerElapsed,
)
from fuseboard.roles import Role
from fuseboard.testing.policies import policy
from fuseboard.testing.policies import policy as build_policy

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy

START: Final = 1_700_000_000_000
MINUTE: Final = 60
HOUR: Final = 3_600


def row_of(
    policy: Policy | None = None,
    state: BreakerState | None = None,
    placement: Placement | None = None,
    now: int = START,
) -> Row:
    """Return the row of a breaker; parts left out are those of a new breaker."""
    return Row(policy or build_policy(), state or BreakerState(), placement or Placement(), now)


@dataclass
class Panel:
    """A breaker that receives signals in order; time passes by ``wait``."""

    policy: Policy = field(default_factory=policy)
    breaker: BreakerState = field(default_factory=BreakerState)
    placement: Placement = field(default_factory=Placement)
    now: int = START
    sent: int = 0
    dependencies: tuple[Dependency, ...] = ()
    last: Event = field(default_factory=lambda: Event(id="", source="", subject="", data=TimerElapsed(0)))

    def wait(self, seconds: float) -> Panel:
        """Let time pass without a signal."""
        self.now += round(seconds * 1000)
        return self

    def tell(self, data: Data | Foreign, *, ago: float = 0, name: str = "") -> Decision:
        """Deliver a signal that was received ``ago`` seconds before now."""
        self.sent += 1
        taken_in = self.now - round(ago * 1000)
        return self.deliver(
            Event(id=name or f"told-{self.sent}", source="/s", subject="shop/login", data=data, time=taken_in)
        )

    def deliver(self, event: Event) -> Decision:
        """Deliver an event; a second delivery of an event is allowed."""
        self.last = event
        decision = step(self.row, event, self.dependencies)
        self.breaker = decision.after.state
        return decision

    def fire(self, *names: str, severity: str = "warning", started: float = 0, ago: float = 0) -> Decision:
        """Alerts fire; ``started`` is in seconds after ``START``, 0 when unknown."""
        return self.tell(FailureDetected(failures=tuple(alert(each, severity, started) for each in names)), ago=ago)

    def resolve(self, *names: str, started: float = 0, ago: float = 0) -> Decision:
        """Alerts are resolved."""
        return self.tell(FailureResolved(failures=tuple(alert(each, "warning", started) for each in names)), ago=ago)

    def happen(self, *keys: str, cause: str = "BackOff", started: float = 0, ago: float = 0) -> Decision:
        """Kubernetes Events occur."""
        started_at = START + round(started * 1000) if started else 0
        failures = tuple(Failure(key=key, cause=cause, started_at=started_at) for key in keys)
        return self.tell(FailureDetected(failures=failures), ago=ago)

    def pods(
        self, ready: int, desired: int = 3, phase: Phase = Phase.STEADY, *, probe: str = "", ago: float = 0
    ) -> Decision:
        """Report the number of ready pods of the target."""
        return self.tell(CapacityChanged(Role.TARGET, ready, desired, phase, probe), ago=ago)

    def load(self, value: float, *, ago: float = 0) -> Decision:
        """Report the load of the target."""
        return self.tell(LoadChanged(value), ago=ago)

    def ask(self, action: Action, *, seconds: float = 0, ago: float = 0) -> Decision:
        """An operator makes a request; ``seconds`` limits its duration."""
        return self.tell(OperatorRequested(action, "anna", "a drill", round(seconds * 1000)), ago=ago)

    def tick(self) -> Decision:
        """The clock reports that a timer has elapsed."""
        return self.tell(TimerElapsed(due_at=self.now))

    def verify(self) -> Panel:
        """Record the placement of the current epoch as verified now."""
        shares = self.row.wanted
        epoch, trial = self.breaker.epoch, self.breaker.trial
        self.placement = Placement(
            epoch=epoch, step=1, trial=trial, shares=shares, result=Result.VERIFIED, verified_at=self.now
        )
        return self

    @property
    def row(self) -> Row:
        """The breaker's current row."""
        return Row(self.policy, self.breaker, self.placement, self.now)

    @property
    def state(self) -> State:
        """The breaker's state."""
        return self.breaker.state

    def at(self, state: State) -> bool:
        """Say whether the breaker is in this state."""
        return self.state is state

    @property
    def due(self) -> float | None:
        """Seconds until time alone may change the breaker; None when it never does."""
        moment = next_due(self.row)
        return None if moment is None else (moment - self.now) / 1000


def alert(name: str, severity: str = "warning", started: float = 0) -> Failure:
    """Return a condition's failure."""
    started_at = START + round(started * 1000) if started else 0
    return Failure(key=f"{name}@{started}", cause=name, condition=name, severity=severity, started_at=started_at)


def limited(**parts: object) -> Panel:
    """Return a panel whose breaker a warning has limited."""
    panel = Panel(policy(**parts))
    panel.fire("slow")
    assert panel.at(State.LIMITED)
    return panel.wait(1)


def opened(**parts: object) -> Panel:
    """Return a panel whose breaker a critical alert has opened."""
    panel = Panel(policy(**parts))
    panel.fire("down", severity="critical")
    assert panel.at(State.OPEN)
    return panel.wait(1)


def on_trial(*, placed: bool = True, **parts: object) -> Panel:
    """Return a panel whose breaker is half open, its placement verified one second later."""
    panel = opened(**parts)
    panel.wait(10).resolve("down")
    panel.wait(90).tick()
    assert panel.at(State.HALF_OPEN)
    panel.wait(1)
    return panel.verify().wait(1) if placed else panel
