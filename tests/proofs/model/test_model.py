"""Everything that can happen to two targets and two workers, and the bugs that it would find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from fuseboard.breaker.placement import Fence, Result
from fuseboard.failover.begin import begin
from fuseboard.failover.claimed import ClaimedStep
from tests.proofs.model.explore import Exploration, Limits
from tests.proofs.model.world import NOW, Wiring

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.breaker.row import Row
    from fuseboard.events.event import Event
    from fuseboard.stores.records import Change, Decide

FAST: Final = [(2, Limits(0, 0, 0)), (1, Limits(1, 0, 1)), (1, Limits(0, 1, 0)), (1, Limits(1, 1, 0))]
LONG: Final = [
    (2, Limits(1, 0, 0)),
    (2, Limits(0, 0, 1)),
    (2, Limits(0, 1, 0)),
    (1, Limits(1, 1, 1)),
    (1, Limits(2, 0, 2)),
]


def explores(targets: int, limits: Limits, record_property: Callable[[str, object], None]) -> None:
    """Explore with the real functions."""
    found = Exploration(Wiring(), limits, targets, alike=targets == 2).run()
    record_property("states", found.states)
    assert not found.trace, "\n".join(found.trace)


@pytest.mark.parametrize(("targets", "limits"), FAST)
def test_every_state_holds(targets: int, limits: Limits, record_property: Callable[[str, object], None]) -> None:
    """I1 to I4, I6, I8, I16, I17 and I19 hold in every state that can be reached, to the last one."""
    explores(targets, limits, record_property)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("targets", "limits"), LONG)
def test_every_state_holds_in_the_long_form(
    targets: int, limits: Limits, record_property: Callable[[str, object], None]
) -> None:
    """The same with a crash, a loss of memory and a pause at every point, of two targets at once."""
    explores(targets, limits, record_property)


# -- seeded bugs -----------------------------------------------------------------------------------------------------


def _lease_without_end(record: Row, event: Event, owner: str) -> Change:
    claim = record.placement.claim
    if claim is not None:
        record = replace(record, placement=replace(record.placement, claim=replace(claim, until=NOW + 1)))
    return begin(record, event, owner)


def _paid_when_claimed(record: Row, event: Event, owner: str) -> Change:
    change = begin(record, event, owner)
    asked = record.wanted
    paid = replace(change.placement, epoch=record.state.epoch, shares=asked, result=Result.VERIFIED)
    return replace(change, placement=paid)


class _Late(ClaimedStep):
    """A step that settles whether or not its claim is still in force."""

    def _change(self, decide: Decide) -> Change:
        return self.store.change(self.event.subject, decide)


BUGS: Final = {
    "an event is marked before it has its effect": (Wiring(marks_first=True), Limits(0, 0, 0), "I4"),
    "the fence is compared with > for >=": (Wiring(overtaken=Fence.__gt__), Limits(0, 1, 0), "I1"),
    "what was read is not read again at the claim": (Wiring(reads_again=False), Limits(0, 0, 1), "I16"),
    "a lease never ends": (Wiring(begin=_lease_without_end), Limits(1, 0, 0), "I19"),
    "a debt is cleared before it is verified": (Wiring(begin=_paid_when_claimed), Limits(1, 0, 0), "I19"),
    "a late result is taken": (Wiring(claim=_Late), Limits(0, 0, 1), "I8"),
    "a patch does not say what it was made for": (Wiring(checks_version=False), Limits(0, 0, 1), "I2"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_has_a_counterexample(bug: str) -> None:
    """Each of these bugs is found, by the invariant that it breaks and a way that leads to it."""
    wiring, limits, invariant = BUGS[bug]
    found = Exploration(wiring, limits).run()
    print(f"{bug}: after {found.states} states", *found.trace, sep="\n  ")  # noqa: T201  - it is what one wants to see
    assert found.trace, "not found"
    assert found.trace[-1].startswith(f"{invariant}:")
    assert len(found.trace) < 20
