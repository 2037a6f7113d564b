"""The pure twin of the store in Redis: what the table must be after everything that was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fuseboard.breaker.placement import Fence, Placement
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.step import MAX_REMEMBERED, MAX_REPLIES
from fuseboard.breaker.weighing import MAX_CONDITIONS, MAX_OCCURRENCES
from fuseboard.events.types import OperatorRequested
from fuseboard.stores.records import dues_after
from fuseboard.times import duration_ms
from tests.proofs.moments import LEGAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.policy.spec import Policy
    from fuseboard.stores.records import Change, Decide, Entry

ASKED: Final = {(before, after) for before in State for after in (State.CLOSED, State.OPEN)}
"""What an operator may ask for."""


class TwinRow:
    """One breaker, as it must be."""

    def __init__(self) -> None:
        self.breaker, self.placement = BreakerState(), Placement()
        self.dues: dict[str, int] | None = {}
        """What the clock waits for; None when a new policy has just made it due."""
        self.journal: list[Entry] = []
        self.edits = 0

    def copy(self) -> TwinRow:
        """Return the same, to go back to."""
        copied = TwinRow()
        copied.breaker, copied.placement, copied.dues = self.breaker, self.placement, self.dues
        copied.journal, copied.edits = list(self.journal), self.edits
        return copied


class Twin:
    """The same decisions in the same order, without a store; what must hold for each is checked as it is made."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.whole = True
        """Whether everything held so far."""
        self.passed = 0
        """How much time has passed beyond the server's, in milliseconds."""
        self.policies: dict[str, Policy] = {}
        self.rows: dict[str, TwinRow] = {}
        self.intents: dict[tuple[str, int, int], Entry] = {}
        self.quiet_until: dict[str, int] = {}
        """I17: until when nothing may be moved, because memory was lost."""

    @property
    def now(self) -> int:
        """The time in the twin's world."""
        return self._clock() + self.passed

    def change(self, key: str, decide: Decide, now: int, passed: int, wrote: Change) -> None:
        """Do what a script has done; ``wrote`` is what it was given."""
        self.whole = False
        row, policy = self.rows[key], self.policies[key]
        record = Row(policy, row.breaker, row.placement, now)
        change = decide(replace(record, now=now + passed))
        assert change == wrote, "I7: decided on something that the table was not"
        check_transition(replace(record, now=now + passed), change)
        after = replace(record, state=change.state, placement=change.placement)
        row.breaker, row.placement = change.state, change.placement
        row.dues = dues_after(after, row.dues or {})
        row.journal += [replace(entry, breaker=key, now=now) for entry in change.entries]
        for entry in change.entries:
            if entry.kind == "intent":
                self.intents[key, entry.epoch, entry.step] = entry
            if entry.kind == "memory":
                self.quiet_until[key] = change.state.held_until
        self.whole = True

    def edit(self, policy: Policy) -> None:
        """Have another policy in force."""
        key, known = policy.key, self.policies.get(policy.key)
        self.policies[key] = policy
        if key not in self.rows:
            self.rows[key] = TwinRow()
        elif known != policy:
            self.rows[key].dues = None
            self.rows[key].edits += 1

    def set_back(self, by: int) -> None:
        """Set the clock back."""
        self.passed -= by
        self.quiet_until = {key: until - by for key, until in self.quiet_until.items()}


def check_transition(record: Row, change: Change) -> None:
    """Check what must hold for every single decision."""
    before, after = record.state, change.state
    fence = Fence(record.placement.epoch, record.placement.step)
    assert Fence(change.placement.epoch, change.placement.step) >= fence, "I8: a late result has changed something"
    if after.held_until > record.now and after.epoch > before.epoch + 1:
        return  # memory was lost: the epoch goes on above the fence
    check_edges(record, change)
    back = before.clock - after.clock  # the clock was set back, and all that is remembered with it
    watermark, known = before.watermark - max(0, back), {each.key for each in before.occurrences}
    fresh = [each for each in after.occurrences if each.key not in known]
    assert all(each.seen > watermark for each in fresh), "I5: something before the watermark was counted"
    assert watermark <= after.watermark <= after.clock or not before.watermark, "I5: the watermark has gone back"
    assert len(after.occurrences) <= MAX_OCCURRENCES, "I18: occurrences"
    assert max(len(after.conditions), len(after.resolved)) <= MAX_CONDITIONS, "I18: conditions"
    assert len(after.remembered) <= MAX_REMEMBERED, "I18: remembered"
    assert len(after.replies) <= MAX_REPLIES, "I18: replies"


def check_edges(record: Row, change: Change) -> None:
    """I6 and I8: an edge of the table at a time, each with an epoch of its own, and no trial is cut short."""
    before, after = record.state, change.state
    edges = {(before.state, after.state)} - {(state, state) for state in State}
    asked = any(isinstance(entry.signal, OperatorRequested) for entry in change.entries)
    assert edges <= (LEGAL | ASKED if asked else LEGAL), "I6: no such edge"
    if any(entry.kind == "memory" for entry in change.entries):
        return
    assert after.epoch - before.epoch == len(edges), "I6: an epoch for every edge, and no other"
    if edges == {(State.HALF_OPEN, State.CLOSED)} and not asked:
        placement, healthy_for = record.placement, duration_ms(record.policy.spec.recover.healthy_for)
        current = (placement.epoch, placement.trial) == (before.epoch, before.trial)
        assert current, "I8: the trial's placement is not verified"
        assert placement.verified_at, "I8: the trial's placement is not verified"
        begun = min(placement.verified_at, max(before.held_until, before.since))
        assert record.now - begun >= healthy_for, "I8: the trial was too short"
