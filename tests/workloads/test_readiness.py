"""What is told of a workload's capacity, and when: each fact once, whatever the watches bring in which order."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.errors import ClusterUnavailable
from fuseboard.events.types import CapacityChanged, Phase
from fuseboard.roles import Role
from fuseboard.testing.objects import MADE, condition, container, deployment, end, pod, starting, stateful_set
from fuseboard.workloads import pods, status
from fuseboard.workloads import rollout as phases
from fuseboard.workloads.inventory import Inventory
from fuseboard.workloads.owners import OwnerResolver
from fuseboard.workloads.readiness import REPEAT_AFTER_MS, Readiness, is_planned
from tests.workloads.targets import SET, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.events.event import Event
    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.testing.objects import Manifest

LATER = MADE + 3_600_000


class Told:
    """What is known of a namespace, fed by hand; keeps what is told."""

    def __init__(self, *policies: Policy, owner: Callable[[str], Mapping[str, Any]] = lambda _: SET) -> None:
        self.asked: list[str] = []
        self.now = LATER
        self._owner = owner
        self.inventory = Inventory(OwnerResolver(self._read))
        self.readiness = Readiness(self.inventory)
        self.policies = {each.key: each for each in policies or (policy(),)}
        self.readiness.set_table(self.policies)
        self.events: list[Event] = []

    def _read(self, path: str) -> Mapping[str, Any]:
        self.asked.append(path)
        return self._owner(path)

    def begin(self, found: Manifest | None = None, *some: Manifest, kind: str = "Deployment") -> Told:
        """Both lists are there."""
        self.inventory.replace_workloads("shop", kind, [status.read_workload(kind, found)] if found else [])
        self.died(*some)
        return self.look()

    def died(self, *some: Manifest) -> list[tuple[str, Failure]]:
        """List pods; return what has died."""
        changes = self.inventory.replace_pods("shop", map(pods.read_pod, some))
        return [died for change in changes for died in self.readiness.failures(change, self.now)]

    def change(self, found: Manifest, kind: str = "Deployment") -> Told:
        """A workload has changed."""
        self.inventory.update_workload("shop", status.read_workload(kind, found))
        return self.look()

    def see(self, *some: Manifest) -> Told:
        """Pods have come or changed."""
        for each in some:
            self.inventory.update_pod(pods.read_pod(each))
        return self.look()

    def look(self) -> Told:
        """Tell what is new."""
        self.events += self.readiness.changes("/apiserver", self.now)
        return self

    def again(self) -> list[CapacityChanged]:
        """Return what was told since the last call."""
        found = [each.data for each in self.events if isinstance(each.data, CapacityChanged)]
        self.events = []
        return found


def fact(ready: int, desired: int = 3, phase: Phase = Phase.STEADY, role: Role = Role.TARGET) -> CapacityChanged:
    """Return what is told."""
    return CapacityChanged(role, ready, desired, phase)


UP = (pod("a"), pod("b"), pod("c"))


def test_the_first_list_is_told_once() -> None:
    """And nothing before both lists are there; what has not changed is not told again."""
    told = Told()
    told.inventory.replace_workloads("shop", "Deployment", [status.read_workload("Deployment", deployment())])
    assert told.look().again() == []

    told.died(*UP)
    assert told.look().again() == [fact(3)]
    assert told.see(*UP).change(deployment()).look().again() == []


def test_pods_first_is_the_same() -> None:
    """Two watches, in any order."""
    told = Told()
    told.died(*UP)
    assert told.look().again() == []
    assert told.begin(deployment(), *UP).again() == [fact(3)]


def test_what_is_not_there_is_not_known() -> None:
    """A workload that never was is told nothing of: what is not known neither opens nor blocks."""
    assert Told().begin().again() == []


def test_a_workload_that_goes_wants_nothing() -> None:
    """None ready of none desired: that lacks nothing, and does not stand for ever as it was."""
    told = Told().begin(deployment(), *UP)
    told.inventory.update_workload("shop", status.read_workload("Deployment", deployment()), is_deleted=True)

    assert told.look().again() == [fact(3), fact(0, 0)]
    assert told.begin(deployment() | {"metadata": deployment()["metadata"] | {"uid": "2"}}, *UP).again() == [fact(3)]


def test_one_that_went_while_nobody_watched_is_gone_by_the_list() -> None:
    """The next list has it no more."""
    told = Told().begin(deployment(), *UP)

    assert told.begin().again() == [fact(3), fact(0, 0)]


def test_a_pod_that_turns_unready_is_told() -> None:
    """By its watch, not by the Deployment's status, which comes later."""
    told = Told().begin(deployment(), *UP)

    assert told.see(pod("a", ready=False, turned_s=100)).again() == [fact(3), fact(2)]


@pytest.mark.parametrize(
    "other",
    [
        pod("x", owner=("", "", "")),
        pod("x", owner=("ReplicaSet", "cart-7d9c5b8f6d", "u")),
        pod("x", owner=("StatefulSet", "login", "u")),
        pod("x", owner=("Job", "login", "u")),
        pod("x") | {"metadata": pod("x")["metadata"] | {"namespace": "elsewhere"}},
        pod("x", leaving=True),
    ],
)
def test_pods_of_others_do_not_count(other: Manifest) -> None:
    """Made by hand, another's, a StatefulSet's of the same name, a Job's, in another namespace, on its way out."""
    assert Told().begin(deployment(), *UP, other).again() == [fact(3)]


def test_only_replica_sets_that_bear_the_name_are_asked_about() -> None:
    """One read for each, however many pods it has; and none for a thousand others."""
    told = Told().begin(deployment(), *UP, *(pod(f"x{n}", owner=("ReplicaSet", f"cart-{n}", "u")) for n in range(100)))

    assert told.asked == ["/apis/apps/v1/namespaces/shop/replicasets/login-7d9c5b8f6d"]


def test_a_replica_set_of_somebody_else_by_the_same_name_does_not_count() -> None:
    """An Argo Rollout may have the Deployment's name, and selects the same pods."""
    rollout = {
        "metadata": {"uid": "uid-set", "ownerReferences": [{"kind": "Rollout", "name": "login", "controller": True}]}
    }

    assert Told(owner=lambda _: rollout).begin(deployment(), *UP).again() == [fact(0)]


def test_a_replica_set_that_cannot_be_read_is_known_by_its_name() -> None:
    """An API server that does not answer just then makes no pod unready."""

    def fails(_: str) -> Mapping[str, Any]:
        raise ClusterUnavailable("not now")

    assert Told(owner=fails).begin(deployment(), *UP).again() == [fact(3)]


def test_a_pod_that_was_let_go_does_not_count() -> None:
    """Its labels were changed, to look at it: its ReplicaSet makes another."""
    told = Told().begin(deployment(), *UP).see(pod("a", owner=("", "", "")))

    assert told.again() == [fact(3), fact(2)]
    assert is_planned(told.inventory, "uid-a", LATER, is_unready=False)


def test_a_stateful_set_of_before_has_pods_of_its_own() -> None:
    """By uid: one deleted and made anew shares the name of its pods."""
    mine, before = (pod(name, owner=("StatefulSet", "login", uid)) for name, uid in (("a", "uid-login"), ("b", "old")))
    told = Told(policy(kind="StatefulSet")).begin(stateful_set(2), mine, before, kind="StatefulSet")

    assert told.again() == [fact(1, 2)]


def test_standby_and_target_are_told_apart() -> None:
    """Each in its role, to each breaker that has it."""
    first = policy(standby={"name": "spare"}, route={"name": "login"})
    second = policy("spare", "spare")
    told = Told(first, second)
    statuses = [status.read_workload("Deployment", deployment(name=name)) for name in ("login", "spare")]
    told.inventory.replace_workloads("shop", "Deployment", statuses)
    told.died(*UP)
    told.look()

    assert {(each.subject, each.data.role, each.data.ready) for each in told.events} == {  # type: ignore[union-attr]
        ("shop/login", Role.TARGET, 3), ("shop/login", Role.STANDBY, 0), ("shop/spare", Role.TARGET, 0),
    }  # fmt: skip


def test_scaling_changes_what_is_desired_and_is_steady() -> None:
    """As an HPA does: first fewer are desired, then fewer are ready."""
    told = Told().begin(deployment(), *UP)
    told.change(deployment(2, meta_generation=2, replicas=3, updatedReplicas=3)).see(pod("c", leaving=True))

    assert told.again() == [fact(3), fact(3, 2), fact(2, 2)]


def test_an_eviction_is_a_disruption_until_the_pods_are_back() -> None:
    """Remembered when the pod itself is gone; and the next failure is one again."""
    told = Told().begin(deployment(), *UP)
    told.now = MADE + 100_000
    told.see(pod("a", disrupted_s=99)).see(pod("a", leaving=True, disrupted_s=99))
    told.inventory.delete_pod("uid-a")
    told.see(starting("d")).see(pod("d")).see(pod("d", ready=False, turned_s=90))

    assert told.again() == [fact(3), fact(2, 3, Phase.DISRUPTION), fact(3), fact(2)]


def test_a_disruption_that_lasts_is_an_excuse_no_longer() -> None:
    """After ten minutes, without anything that changes in the cluster."""
    told = Told().begin(deployment(), *UP)
    told.now = MADE + 100_000
    told.see(pod("a", leaving=True, disrupted_s=99))
    told.now += phases.MAX_EXCUSE_MS

    assert told.look().again()[1:] == [fact(2, 3, Phase.DISRUPTION), fact(2)]


def test_youth_ends_by_time_alone() -> None:
    """A Deployment without a deadline that never came up is steady after ten minutes."""
    told = Told()
    told.now = MADE + 1_000
    found = deployment(1, conditions=(condition("Available", "False"),), availableReplicas=0)
    told.begin(found, starting(containers=(container(restarts=3),)))
    told.now = MADE + phases.MAX_EXCUSE_MS

    assert told.look().again() == [fact(0, 1, Phase.FRESH), fact(0, 1)]


def test_what_was_available_is_remembered() -> None:
    """Also where it does not say so itself any more."""
    told = Told().begin(deployment(), *UP)
    told.change(deployment(conditions=(condition("Available", "False"), condition("Progressing", reason="X"))))

    assert [each.phase for each in told.again()] == [Phase.STEADY]


class TestIds:
    """An event's id follows from the fact."""

    def history(self, *shown: Manifest) -> list[str]:
        """Return the ids of what is told of pod ``c`` as it changes."""
        told = Told().begin(deployment(), *UP)
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
        again = Told().begin(deployment(meta_generation=3, observedGeneration=3), *UP)

        assert [each.id for each in again.events] != self.history()


class TestProbe:
    """What the target's own pods answer."""

    PROBED = policy(recover={"probe": {"http": "/healthz"}}, standby={"name": "spare"}, route={"name": "login"})

    def test_it_is_told_with_the_targets_capacity(self) -> None:
        """On change, and again while it is asked; never with the standby's."""
        told = Told(self.PROBED)
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
        told = Told(self.PROBED).begin(deployment(), *UP)
        told.readiness.set_probe_result(self.PROBED, "ok")
        for _ in range(3):
            told.now += REPEAT_AFTER_MS
            told.look()

        assert len({each.id for each in told.events}) == 3

    def test_only_the_targets_ready_pods_are_asked(self) -> None:
        """None where none are desired, or where it is not known."""
        told = Told(self.PROBED)
        assert told.readiness.target(self.PROBED) is None

        told.begin(deployment(), pod("a"), pod("b", ready=False), pod("x", owner=("ReplicaSet", "spare-5d", "u")))
        target = told.readiness.target(self.PROBED)
        assert target is not None
        assert ([each.name for each in target.ready_pods], target.desired) == (["a"], 3)

        told.change(deployment(0))
        assert target.desired == 0

    def test_before_it_is_known_what_a_probe_says_nothing_is_told(self) -> None:
        """That nothing was probed would let an open breaker try its target, after each restart of the watcher."""
        told = Told(self.PROBED).begin(deployment(), *UP)
        assert [each.role for each in told.again()] == []

        told.readiness.set_probe_result(self.PROBED, "a: it answers 503")
        assert [each.probe for each in told.look().again()] == ["a: it answers 503"]


class TestLack:
    """Fewer are ready than must be."""

    def test_it_is_told_again_while_it_lasts(self) -> None:
        """A breaker forgets what it is not told for some minutes; each repeat is a fact of its own."""
        told = Told(policy(target="login")).begin(deployment(), *(pod(name, ready=False) for name in "abc"))
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
        told = Told(policy(standby={"name": "spare", "minReady": 2}, route={"name": "login"}))
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
        told = Told(policy(standby={"name": "spare"}, route={"name": "login"}), policy("other", "spare"))
        told.died(*UP)

        assert [(key, each.reason) for key, each in told.died(self.DEAD)] == [("shop/login", "OOMKilled")]

    def test_a_first_list_tells_what_is_within_the_window(self) -> None:
        """An hour-old crash opens no breaker: K10."""
        assert Told().died(self.DEAD) == []
        told = Told()
        told.now = MADE + 51_000
        assert [each.key for _, each in told.died(self.DEAD)] == ["uid-a/app/1"]


class TestPlanned:
    """What Events say of pods that leave, or have just come."""

    def test_what_leaves_or_is_gone(self) -> None:
        """Its last Events come when it is gone."""
        told = Told().begin(deployment(), pod("a", leaving=True), pod("b", disrupted_s=50), pod("c"))
        told.inventory.delete_pod("uid-a")

        assert [is_planned(told.inventory, f"uid-{name}", LATER, is_unready=False) for name in "abcx"] == [
            True, True, False, False,
        ]  # fmt: skip

    def test_a_slow_start_of_a_new_pod(self) -> None:
        """In a rollout; a pod that was ready, and one of no rollout, has failed its probe."""
        going = (condition("Available"), condition("Progressing", reason="ReplicaSetUpdated"))
        told = Told().begin(
            deployment(conditions=going, updatedReplicas=1), pod("a", ready=False, turned_s=30), starting("b")
        )
        assert [is_planned(told.inventory, f"uid-{name}", LATER, is_unready=True) for name in "ab"] == [False, True]
        assert not is_planned(told.inventory, "uid-b", LATER, is_unready=False)

        late = (condition("Available"), condition("Progressing", "False", "ProgressDeadlineExceeded"))
        told.change(deployment(conditions=late, updatedReplicas=1))
        assert not is_planned(told.inventory, "uid-b", LATER, is_unready=True)


def test_a_breaker_that_leaves_the_table_is_forgotten() -> None:
    """With its pods, and what was told; a new one on the same workload is told."""
    told = Told().begin(deployment(), *UP)
    told.readiness.set_table({})
    assert told.inventory.pods.get("uid-a") is None
    assert told.inventory.wanted == {}

    told.readiness.set_table({"shop/login": policy()})
    assert told.begin(deployment(), *UP).again() == [fact(3), fact(3)]


def test_a_breaker_that_comes_is_told_at_once() -> None:
    """What is known already, and to nobody else again."""
    told = Told().begin(deployment(), *UP)
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


def test_while_all_is_listed_anew_nothing_is_told() -> None:
    """What was left out before may count now: half a list would be a false alarm."""
    told = Told().begin(deployment(), *UP)
    told.inventory.unlist({"shop"})
    told.see(pod("a", ready=False, turned_s=100))
    assert told.again() == [fact(3)]

    assert told.begin(deployment(), *UP).again() == []


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
        told, pods_left, found_left = Told().begin(deployment()), list(some), list(found)
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
