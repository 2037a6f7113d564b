"""What is told of a workload's capacity, and when: each fact once, whatever the watches bring in which order."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from fuseboard.events.types import Phase
from fuseboard.roles import Role
from fuseboard.testing.objects import MADE, condition, container, deployment, end, pod, starting
from fuseboard.workloads import rollout as phases
from fuseboard.workloads import status
from fuseboard.workloads.readiness import REPEAT_AFTER_MS
from tests.workloads.targets import policy
from tests.workloads.watched import UP, WatchedNamespace, fact

if TYPE_CHECKING:
    from fuseboard.testing.objects import Manifest


def test_the_first_list_is_told_once() -> None:
    """And nothing before both lists are there; what has not changed is not told again."""
    told = WatchedNamespace()
    told.inventory.replace_workloads("shop", "Deployment", [status.read_workload("Deployment", deployment())])
    assert told.look().again() == []

    told.died(*UP)
    assert told.look().again() == [fact(3)]
    assert told.see(*UP).change(deployment()).look().again() == []


def test_pods_first_is_the_same() -> None:
    """Two watches, in any order."""
    told = WatchedNamespace()
    told.died(*UP)
    assert told.look().again() == []
    assert told.begin(deployment(), *UP).again() == [fact(3)]


def test_what_is_not_there_is_not_known() -> None:
    """A workload that never was is told nothing of: what is not known neither opens nor blocks."""
    assert WatchedNamespace().begin().again() == []


def test_a_workload_that_goes_wants_nothing() -> None:
    """None ready of none desired: that lacks nothing, and does not stand for ever as it was."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.inventory.update_workload("shop", status.read_workload("Deployment", deployment()), is_deleted=True)

    assert told.look().again() == [fact(3), fact(0, 0)]
    assert told.begin(deployment() | {"metadata": deployment()["metadata"] | {"uid": "2"}}, *UP).again() == [fact(3)]


def test_one_that_went_while_nobody_watched_is_gone_by_the_list() -> None:
    """The next list has it no more."""
    told = WatchedNamespace().begin(deployment(), *UP)

    assert told.begin().again() == [fact(3), fact(0, 0)]


def test_a_pod_that_turns_unready_is_told() -> None:
    """By its watch, not by the Deployment's status, which comes later."""
    told = WatchedNamespace().begin(deployment(), *UP)

    assert told.see(pod("a", ready=False, turned_s=100)).again() == [fact(3), fact(2)]


def test_standby_and_target_are_told_apart() -> None:
    """Each in its role, to each breaker that has it."""
    first = policy(standby={"name": "spare"}, route={"name": "login"})
    second = policy("spare", "spare")
    told = WatchedNamespace(first, second)
    statuses = [status.read_workload("Deployment", deployment(name=name)) for name in ("login", "spare")]
    told.inventory.replace_workloads("shop", "Deployment", statuses)
    told.died(*UP)
    told.look()

    assert {(each.subject, each.data.role, each.data.ready) for each in told.events} == {  # type: ignore[union-attr]
        ("shop/login", Role.TARGET, 3), ("shop/login", Role.STANDBY, 0), ("shop/spare", Role.TARGET, 0),
    }  # fmt: skip


def test_scaling_changes_what_is_desired_and_is_steady() -> None:
    """As an HPA does: first fewer are desired, then fewer are ready."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.change(deployment(2, meta_generation=2, replicas=3, updatedReplicas=3)).see(pod("c", leaving=True))

    assert told.again() == [fact(3), fact(3, 2), fact(2, 2)]


def test_an_eviction_is_a_disruption_until_the_pods_are_back() -> None:
    """Remembered when the pod itself is gone; and the next failure is one again."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.now = MADE + 100_000
    told.see(pod("a", disrupted_s=99)).see(pod("a", leaving=True, disrupted_s=99))
    told.inventory.delete_pod("uid-a")
    told.see(starting("d")).see(pod("d")).see(pod("d", ready=False, turned_s=90))

    assert told.again() == [fact(3), fact(2, 3, Phase.DISRUPTION), fact(3), fact(2)]


def test_a_disruption_that_lasts_is_an_excuse_no_longer() -> None:
    """After ten minutes, without anything that changes in the cluster."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.now = MADE + 100_000
    told.see(pod("a", leaving=True, disrupted_s=99))
    told.now += phases.MAX_EXCUSE_MS

    assert told.look().again()[1:] == [fact(2, 3, Phase.DISRUPTION), fact(2)]


def test_youth_ends_by_time_alone() -> None:
    """A Deployment without a deadline that never came up is steady after ten minutes."""
    told = WatchedNamespace()
    told.now = MADE + 1_000
    found = deployment(1, conditions=(condition("Available", "False"),), availableReplicas=0)
    told.begin(found, starting(containers=(container(restarts=3),)))
    told.now = MADE + phases.MAX_EXCUSE_MS

    assert told.look().again() == [fact(0, 1, Phase.FRESH), fact(0, 1)]


def test_what_was_available_is_remembered() -> None:
    """Also where it does not say so itself any more."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.change(deployment(conditions=(condition("Available", "False"), condition("Progressing", reason="X"))))

    assert [each.phase for each in told.again()] == [Phase.STEADY]


class TestIds:
    """An event's id follows from the fact."""

    def history(self, *shown: Manifest) -> list[str]:
        """Return the ids of what is told of pod ``c`` as it changes."""
        told = WatchedNamespace().begin(deployment(), *UP)
        for each in shown:
            told.see(each)
        return [each.id for each in told.events]

    def test_two_watchers_that_see_the_same_tell_the_same(self) -> None:
        """The same ids, so that the second is known as a duplicate."""
        shown = (pod("c", ready=False, turned_s=90), pod("c", turned_s=95))

        assert self.history(*shown) == self.history(*shown)

    def test_what_is_so_again_is_another_fact(self) -> None:
        """Even within one second of Kubernetes' stamps."""
        down, up = pod("c", ready=False), pod("c")
        ids = self.history(down, up, down, up)

        assert len(set(ids)) == len(ids) == 5

    def test_a_watcher_that_saw_more_has_the_last_word(self) -> None:
        """Its stale fact in between, told late, is followed by a fact that is no duplicate."""
        between = self.history(pod("c", ready=False, turned_s=90), pod("c", turned_s=95))
        without = self.history(pod("c", turned_s=95))

        assert between[-1] not in without

    def test_a_restart_tells_the_same(self) -> None:
        """What has not changed meanwhile is a duplicate; what has is not."""
        assert self.history() == self.history()
        again = WatchedNamespace().begin(deployment(meta_generation=3, observedGeneration=3), *UP)

        assert [each.id for each in again.events] != self.history()


class TestProbe:
    """What the target's own pods answer."""

    PROBED = policy(recover={"probe": {"http": "/healthz"}}, standby={"name": "spare"}, route={"name": "login"})

    def test_it_is_told_with_the_targets_capacity(self) -> None:
        """On change, and again while it is asked; never with the standby's."""
        told = WatchedNamespace(self.PROBED)
        told.readiness.set_probe_result(self.PROBED, "")
        told.begin(deployment(), *UP)
        told.readiness.set_probe_result(self.PROBED, "a: it answers 503")
        told.look().look()
        told.now += REPEAT_AFTER_MS
        told.look().look()
        told.readiness.set_probe_result(self.PROBED, "ok")
        told.look()
        told.readiness.set_probe_result(self.PROBED, "")
        told.look()
        told.now += REPEAT_AFTER_MS
        told.look()

        assert [each.probe for each in told.again()] == ["", "a: it answers 503", "a: it answers 503", "ok", ""]

    def test_repeats_are_facts_of_their_own(self) -> None:
        """Else the second would be taken for a duplicate."""
        told = WatchedNamespace(self.PROBED).begin(deployment(), *UP)
        told.readiness.set_probe_result(self.PROBED, "ok")
        for _ in range(3):
            told.now += REPEAT_AFTER_MS
            told.look()

        assert len({each.id for each in told.events}) == 3

    def test_only_the_targets_ready_pods_are_asked(self) -> None:
        """None where none are desired, or where it is not known."""
        told = WatchedNamespace(self.PROBED)
        assert told.readiness.target(self.PROBED) is None

        told.begin(deployment(), pod("a"), pod("b", ready=False), pod("x", owner=("ReplicaSet", "spare-5d", "u")))
        target = told.readiness.target(self.PROBED)
        assert target is not None
        assert ([each.name for each in target.ready_pods], target.desired) == (["a"], 3)

        told.change(deployment(0))
        assert target.desired == 0

    def test_before_it_is_known_what_a_probe_says_nothing_is_told(self) -> None:
        """That nothing was probed would let an open breaker try its target, after each restart of the watcher."""
        told = WatchedNamespace(self.PROBED).begin(deployment(), *UP)
        assert [each.role for each in told.again()] == []

        told.readiness.set_probe_result(self.PROBED, "a: it answers 503")
        assert [each.probe for each in told.look().again()] == ["a: it answers 503"]


class TestLack:
    """Fewer are ready than must be."""

    def test_it_is_told_again_while_it_lasts(self) -> None:
        """A breaker forgets what it is not told for some minutes; each repeat is a fact of its own."""
        told = WatchedNamespace(policy(target="login")).begin(deployment(), *(pod(name, ready=False) for name in "abc"))
        for _ in range(4):
            told.now += REPEAT_AFTER_MS // 2
            told.look()
        told.see(pod("a"))
        told.now += REPEAT_AFTER_MS
        told.look()

        assert len({each.id for each in told.events}) == 4
        assert told.again() == [fact(0), fact(0), fact(0), fact(1)]

    def test_one_of_a_standby_is_told_again_too(self) -> None:
        """Where it can take nothing, nobody should forget it; and of one that has enough nothing is repeated."""
        told = WatchedNamespace(policy(standby={"name": "spare", "minReady": 2}, route={"name": "login"}))
        statuses = [status.read_workload("Deployment", deployment(name=name)) for name in ("login", "spare")]
        told.inventory.replace_workloads("shop", "Deployment", statuses)
        told.died(*UP)
        told.look().again()
        told.now += REPEAT_AFTER_MS

        assert told.look().again() == [fact(0, role=Role.STANDBY)]


class TestDied:
    """Containers that died are occurrences of the target's breakers."""

    DEAD = pod("a", containers=(container(restarts=1, last=end()),))

    def test_the_targets_breakers_are_told(self) -> None:
        """The standby's failures are none of the target's."""
        told = WatchedNamespace(policy(standby={"name": "spare"}, route={"name": "login"}), policy("other", "spare"))
        told.died(*UP)

        assert [(key, each.reason) for key, each in told.died(self.DEAD)] == [("shop/login", "OOMKilled")]

    def test_a_first_list_tells_what_is_within_the_window(self) -> None:
        """An hour-old crash opens no breaker: K10."""
        assert WatchedNamespace().died(self.DEAD) == []
        told = WatchedNamespace()
        told.now = MADE + 51_000
        assert [each.key for _, each in told.died(self.DEAD)] == ["uid-a/app/1"]


def test_a_breaker_that_leaves_the_table_is_forgotten() -> None:
    """With its pods, and what was told; a new one on the same workload is told."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.readiness.set_table({})
    assert told.inventory.pods.get("uid-a") is None
    assert told.inventory.wanted == {}

    told.readiness.set_table({"shop/login": policy()})
    assert told.begin(deployment(), *UP).again() == [fact(3), fact(3)]


def test_a_breaker_that_comes_is_told_at_once() -> None:
    """What is known already, and to nobody else again."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.again()
    told.readiness.set_table(
        {
            "shop/login": policy(),
            "shop/second": policy("second", "cart", standby={"name": "login"}, route={"name": "x"}),
        }
    )

    assert [(each.subject, each.data) for each in told.look().events] == [
        ("shop/second", fact(3, role=Role.STANDBY)),
    ]  # fmt: skip


NAMES = "abcd"
SHOWN = st.builds(
    pod,
    st.sampled_from(NAMES),
    ready=st.booleans(),
    turned_s=st.integers(10, 50),
    leaving=st.booleans(),
)
STATUSES = st.builds(
    deployment,
    st.integers(0, 5),
    meta_generation=st.just(1),
    updatedReplicas=st.integers(0, 5),
    conditions=st.sampled_from([None, (condition("Available"), condition("Progressing", reason="ReplicaSetUpdated"))]),
)


@given(st.lists(SHOWN, max_size=12), st.lists(STATUSES, min_size=1, max_size=4), st.randoms())
def test_the_order_between_watches_does_not_matter(some: list[Manifest], found: list[Manifest], random: Any) -> None:  # noqa: ANN401
    """However the two are interleaved, the last fact is the same; and never are more ready than there are."""
    last = []
    for _ in range(2):
        told, pods_left, found_left = WatchedNamespace().begin(deployment()), list(some), list(found)
        while pods_left or found_left:
            if pods_left and (not found_left or random.random() < 0.5):
                told.see(pods_left.pop(0))
            else:
                told.change(found_left.pop(0))
        facts = told.again()
        assert all(0 <= each.ready <= len({each["metadata"]["name"] for each in some}) for each in facts)
        assert all(one != other for one, other in pairwise(facts))
        last.append(facts[-1])

    assert last[0] == last[1]
