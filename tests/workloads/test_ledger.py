"""The ledger names each occurrence of an Event once, across jumps, restarts and lost reports."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fuseboard.policy.advice import MAX_DELTA
from fuseboard.signals.targets import InvolvedObject
from fuseboard.stores.checkpoints import SeenCount
from fuseboard.workloads.events import ObservedEvent
from fuseboard.workloads.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable


def report(count: int = 1, *, uid: str = "u", version: str = "7", created: int = 1_000_000_000) -> ObservedEvent:
    """Return what an Event about a pod says."""
    about = InvolvedObject("shop", "Pod", "login-1")
    return ObservedEvent(uid, version, about, "", "Warning", "BackOff", count, written_at=created, created_at=created)


class TestLedger:
    """K3, K4, K9, K10, and fault 8."""

    def test_a_jump_is_as_many_occurrences(self) -> None:
        """From 3 to 9 is six more: fault 8."""
        ledger = Ledger()
        ledger.added(report(3))

        assert ledger.modified(report(9)) == tuple(f"u:{number}" for number in range(4, 10))

    def test_the_same_again_is_nothing(self) -> None:
        """Seen again, by the stream or in a list, an Event has nothing new."""
        ledger = Ledger()
        ledger.added(report(3))

        assert ledger.added(report(3)) == ledger.modified(report(3)) == ledger.listed(report(3), 1) == ()

    def test_a_jump_is_capped(self) -> None:
        """However far a count jumps, one look brings 25, the last ones; the rest never comes later."""
        ledger = Ledger()

        assert ledger.added(report(1_000_000)) == tuple(
            f"u:{1_000_000 - back}" for back in range(MAX_DELTA - 1, -1, -1)
        )
        assert ledger.modified(report(1_000_001)) == ("u:1000001",)

    def test_a_smaller_count_is_a_new_episode(self) -> None:
        """Its occurrences have names of their own, so that none is taken for one of before: K3."""
        ledger = Ledger({"u": SeenCount(9)})

        assert ledger.modified(report(2, version="50")) == ("u/50:1", "u/50:2")
        assert ledger.modified(report(3, version="60")) == ("u/50:3",)

    def test_an_old_list_without_a_checkpoint_counts_once(self) -> None:
        """Of an Event that was there before the first look, only the last occurrence has a time: K10."""
        assert Ledger().listed(report(52), None) == ("u:52",)

    def test_what_came_while_nobody_looked_counts_in_full(self) -> None:
        """An Event that is younger than the checkpoint is new as a whole: K10."""
        assert len(Ledger().listed(report(6, created=2_000_000_000), 1_999_999_000)) == 6

    def test_what_was_forgotten_counts_once(self) -> None:
        """An Event that is older than the checkpoint, and unknown, was forgotten: it is not counted again."""
        assert Ledger().listed(report(6, created=1_000_000_000), 2_000_000_000) == ("u:6",)
        assert Ledger().modified(report(6)) == ("u:6",)

    def test_only_so_many_are_remembered(self) -> None:
        """The one not heard of for the longest time goes first, and is taken off the checkpoint: I18."""
        ledger = Ledger(limit=2)
        for uid in "abc":
            ledger.added(report(uid=uid))

        assert ledger.changes() == {"a": None, "b": SeenCount(1), "c": SeenCount(1)}
        assert ledger.changes() == {}

    def test_what_is_gone_is_forgotten(self) -> None:
        """A deleted Event, or one that a list no longer has, needs no memory: K9."""
        ledger = Ledger({"a": SeenCount(1), "b": SeenCount(1), "c": SeenCount(1)})
        ledger.forget("a")
        ledger.forget("nobody")
        ledger.keep_only({"c"})

        assert ledger.changes() == {"a": None, "b": None}

    @given(st.lists(st.tuples(st.sampled_from(["added", "modified", "listed"]), st.integers(1, 40)), max_size=30))
    def test_no_occurrence_is_named_twice(self, looks: list[tuple[str, int]]) -> None:
        """Whatever is seen, in whatever order and however often, no key comes twice."""
        ledger, named = Ledger(), list[str]()
        take: dict[str, Callable[[ObservedEvent], tuple[str, ...]]] = {
            "added": ledger.added,
            "modified": ledger.modified,
            "listed": lambda each: ledger.listed(each, 1),
        }
        for version, (how, count) in enumerate(looks):
            named += take[how](report(count, version=str(version)))

        assert len(set(named)) == len(named)

    @given(st.lists(st.integers(1, 25), min_size=1, max_size=20), st.data())
    def test_whoever_sees_only_some_names_the_same(self, steps: list[int], data: st.DataObject) -> None:
        """A watcher that missed some changes names the same occurrences as one that saw each: P9."""
        counts = [sum(steps[: index + 1]) for index in range(len(steps))]
        seen = [count for count in counts[:-1] if data.draw(st.booleans())] + counts[-1:]
        every, some = Ledger(), Ledger()
        all_keys = {key for count in counts for key in every.modified(report(count))}
        some_keys = {key for count in seen for key in some.modified(report(count))}

        assert some_keys <= {f"u:{number}" for number in range(1, counts[-1] + 1)}
        assert f"u:{counts[-1]}" in all_keys & some_keys

    def test_a_restart_goes_on_where_it_was(self) -> None:
        """What one run remembers is all that the next one needs."""
        first = Ledger()
        first.added(report(3))
        kept = {uid: known for uid, known in first.changes().items() if known is not None}

        assert Ledger(deepcopy(kept)).listed(report(4), 1) == ("u:4",)
