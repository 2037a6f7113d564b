"""The driver for a Service, against a real HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from fuseboard.breaker.placement import Fence, Shares
from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.errors import Conflict, Refused
from fuseboard.failover.plan import Move
from fuseboard.failover.routes.service import AWAY, BOTH, HOME, ServiceRoute
from fuseboard.testing import policies
from fuseboard.testing.api_server import PODS, SERVICE, FakeApiServer, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.policy.spec import Policy

PRIMARY = {"app": "login", "track": "primary"}
STANDBY = {"app": "login", "track": "standby"}
APPS = "/apis/apps/v1/namespaces/shop"


def policy_of(**spec: object) -> Policy:
    """Return a policy whose selectors follow from the workloads."""
    return policies.policy(**({"standby": {"name": "login-standby"}, "route": {"name": "login"}} | spec))


def driver(cluster: Cluster, **spec: object) -> ServiceRoute:
    """Return the driver, new for every step."""
    policy = policy_of(**spec)
    assert policy.spec.route is not None
    return ServiceRoute.of(cluster, policy, policy.spec.route)


def workload(match_labels: dict[str, str], template: dict[str, str] | None = None, **selector: object) -> Manifest:
    """Return the spec of a Deployment."""
    labels = {"metadata": {"labels": template or match_labels}}
    return {"selector": {"matchLabels": match_labels, **selector}, "template": labels}


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """Serve a Service in front of two Deployments with one ready pod each."""
    with FakeApiServer() as running:
        running.put(SERVICE, {"selector": PRIMARY})
        running.put(f"{APPS}/deployments/login", workload(PRIMARY))
        running.put(f"{APPS}/deployments/login-standby", workload(STANDBY))
        running.pod("login-1", PRIMARY)
        running.pod("standby-1", STANDBY)
        yield running


@pytest.fixture
def cluster(server: FakeApiServer, tmp_path: Path) -> Cluster:
    """Act on it."""
    return connect(tmp_path, server)


def go(cluster: Cluster, shares: Shares, epoch: int, **spec: object) -> Manifest:
    """Move to these shares, and return the patch."""
    route = driver(cluster, **spec)
    seen = route.observe(shares)
    move = Move(shares, Fence(epoch, 1))
    assert not route.expresses(seen, shares)
    patch = route.patch(seen, move)
    route.apply(patch)
    assert not route.verify(seen, move)
    return patch


class TestObserve:
    """Who serves, by the selector that is there."""

    @pytest.mark.parametrize(
        ("selector", "shares"),
        [
            (PRIMARY, HOME),
            ({"track": "primary"}, HOME),
            (STANDBY, AWAY),
            ({"track": "standby"}, AWAY),
            ({"app": "login"}, None),
            ({"app": "other"}, None),
            ({**PRIMARY, "version": "2"}, None),
            ({}, None),
        ],
    )
    def test_by_the_labels_of_the_pods(
        self, server: FakeApiServer, cluster: Cluster, selector: dict[str, str], shares: Shares | None
    ) -> None:
        """A selector is the target's or the standby's if it selects its pods and not the other's."""
        server.put(SERVICE, {"selector": selector})
        observed = driver(cluster).observe(HOME).observed
        assert observed.shares == shares
        assert bool(observed.note) == (shares is None)

    def test_by_labels_that_only_the_template_has(self, server: FakeApiServer, cluster: Cluster) -> None:
        """What a workload does not select by, its pods carry nevertheless."""
        server.put(f"{APPS}/deployments/login", workload({"app": "a"}, {"app": "a", "web": "yes"}))
        server.put(SERVICE, {"selector": {"web": "yes"}})
        assert driver(cluster).observe(HOME).observed.shares == HOME

    def test_our_own_selector_is_known_again(self, server: FakeApiServer, cluster: Cluster) -> None:
        """What was set is what counts, even when policy and workloads have changed since."""
        go(cluster, AWAY, 1)
        del server.objects[f"{APPS}/deployments/login-standby"]
        seen = driver(cluster, standby={"name": "another"}).observe(AWAY)
        assert (seen.observed.shares, seen.observed.fence) == (AWAY, Fence(1, 1))

    def test_somebody_has_put_it_back(self, server: FakeApiServer, cluster: Cluster) -> None:
        """The prior selector is the target's, whoever has restored it."""
        server.put(SERVICE, {"selector": {"track": "primary"}})
        go(cluster, AWAY, 1)
        server.edit(SERVICE, {"spec": {"selector": {"app": None, "track": "primary"}}})
        assert driver(cluster).observe(AWAY).observed.shares == HOME

    def test_only_where_traffic_would_go_pods_are_counted(self, cluster: Cluster) -> None:
        """Nobody lists pods for a step that moves nothing."""
        assert driver(cluster).observe(HOME).observed.ready_target is None
        observed = driver(cluster).observe(AWAY).observed
        assert (observed.ready_target, observed.ready_standby) == (None, 1)

    def test_nothing_is_known_in_a_rehearsal(self) -> None:
        """Neither ready nor unready pods are made up."""
        observed = driver(Rehearsal()).observe(AWAY).observed
        assert (observed.shares, observed.ready_standby) == (HOME, None)

    def test_a_workload_that_is_gone_is_named(self, server: FakeApiServer, cluster: Cluster) -> None:
        """A selector that fits nobody may mean that somebody is gone."""
        del server.objects[f"{APPS}/deployments/login"]
        with pytest.raises(Refused, match="deployments/login: 404"):
            driver(cluster).observe(AWAY)


class TestExpresses:
    """What a selector can say, and why not."""

    @pytest.mark.parametrize("shares", [HOME, AWAY, BOTH])
    def test_target_standby_or_both(self, cluster: Cluster, shares: Shares) -> None:
        """These three need no weights."""
        route = driver(cluster)
        assert route.expresses(route.observe(HOME), shares) is None

    def test_no_weights(self, cluster: Cluster) -> None:
        """Any other share would need them."""
        route = driver(cluster)
        assert "no weights" in str(route.expresses(route.observe(HOME), Shares(target=90, standby=10)))

    def test_nothing_in_common(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Without a common label no selector has both, but each alone can be had."""
        server.put(f"{APPS}/deployments/login-standby", workload({"app": "spare"}))
        route = driver(cluster)
        seen = route.observe(HOME)
        assert "no label in common" in str(route.expresses(seen, BOTH))
        assert route.expresses(seen, AWAY) is None

    def test_a_third_workload(self, server: FakeApiServer, cluster: Cluster) -> None:
        """A pod that is neither's would be served as well: its name is in the answer."""
        server.pod("cron-7", {"app": "login"})
        route = driver(cluster)
        assert "cron-7" in str(route.expresses(route.observe(HOME), BOTH))

    def test_match_expressions(self, server: FakeApiServer, cluster: Cluster) -> None:
        """A Service has no expressions; the answer says which field helps."""
        expressions = [{"key": "track", "operator": "Exists"}]
        spec = workload(STANDBY, matchExpressions=expressions)
        server.put(f"{APPS}/deployments/login-standby", spec)
        route = driver(cluster)
        why = str(route.expresses(route.observe(HOME), AWAY))
        assert "matchExpressions" in why
        assert "spec.route.selectors" in why

    def test_selectors_in_the_policy_help(self, server: FakeApiServer, cluster: Cluster) -> None:
        """With selectors of its own, a policy needs no workload's."""
        del server.objects[f"{APPS}/deployments/login-standby"]
        go(cluster, AWAY, 1, route={"name": "login", "selectors": {"target": PRIMARY, "standby": STANDBY}})
        assert server.selector() == STANDBY

    def test_one_selector_within_the_other(self, server: FakeApiServer, cluster: Cluster) -> None:
        """A standby's selector that has the target's pods as well moves nothing away."""
        server.put(
            f"{APPS}/deployments/login-standby", workload({"app": "login"}, {"app": "login", "track": "standby"})
        )
        route = driver(cluster)
        assert "selects the target's pods as well" in str(route.expresses(route.observe(HOME), AWAY))


class TestPatch:
    """What is written, and what is not."""

    def test_it_names_its_manager(self, server: FakeApiServer, cluster: Cluster) -> None:
        """The one write is a merge patch by Fuseboard under the version that was read."""
        patch = go(cluster, AWAY, 1)
        (request,) = [each for each in server.requests if each.method.value.upper() == "PATCH"]
        assert request.params == {"fieldManager": "fuseboard"}
        assert request.headers["Content-Type"] == "application/merge-patch+json"
        assert patch["metadata"]["resourceVersion"] == "101"

    def test_keys_that_go_are_nulls(self, server: FakeApiServer, cluster: Cluster) -> None:
        """A merge patch would keep what it does not mention."""
        server.put(SERVICE, {"selector": {"track": "primary"}})
        server.put(f"{APPS}/deployments/login-standby", workload({"app": "spare"}))
        server.pod("spare-1", {"app": "spare"})
        patch = go(cluster, AWAY, 1)
        assert patch["spec"]["selector"] == {"track": None, "app": "spare"}
        assert server.selector() == {"app": "spare"}

    def test_what_was_there_comes_back(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Not the workload's selector but the one that the Service had, after any number of moves."""
        server.put(SERVICE, {"selector": {"track": "primary"}, "ports": [{"port": 80}]}, labels={"a": "b"})
        for epoch, shares in enumerate([BOTH, AWAY, BOTH, AWAY, HOME], start=1):
            go(cluster, shares, epoch)
        assert server.objects[SERVICE]["spec"] == {"selector": {"track": "primary"}, "ports": [{"port": 80}]}
        assert server.objects[SERVICE]["metadata"]["labels"] == {"a": "b"}
        assert server.mark() == {
            "epoch": 5,
            "step": 1,
            "shares": {"target": 100, "standby": 0},
            "ours": {"track": "primary"},
        }

    def test_a_new_selector_at_home_is_the_next_snapshot(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Between two episodes the Service is its owner's."""
        go(cluster, AWAY, 1)
        go(cluster, HOME, 2)
        server.edit(SERVICE, {"spec": {"selector": {"app": None}}})
        go(cluster, AWAY, 3)
        assert server.mark()["prior"] == {"track": "primary"}

    def test_one_annotation_per_breaker(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Another breaker's fence on the same Service is not touched."""
        key = "breaker.fuseboard.dev/other"
        server.edit(SERVICE, {"metadata": {"annotations": {key: '{"epoch":9}'}}})
        go(cluster, AWAY, 1)
        assert server.objects[SERVICE]["metadata"]["annotations"][key] == '{"epoch":9}'

    def test_an_older_version_is_a_conflict(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Whoever read before somebody else wrote has no effect."""
        route = driver(cluster)
        seen = route.observe(AWAY)
        server.edit(SERVICE, {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(Conflict):
            route.apply(route.patch(seen, Move(AWAY, Fence(1, 1))))
        assert server.selector() == PRIMARY

    def test_a_seal_moves_nothing(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Only the fence rises, even on a Service that somebody else has changed."""
        server.put(SERVICE, {"selector": {"app": "other"}})
        route = driver(cluster)
        seen = route.observe(AWAY)
        route.apply(route.seal(seen, Fence(3, 2)))
        assert server.selector() == {"app": "other"}
        assert driver(cluster).observe(AWAY).observed.fence == Fence(3, 2)
        assert driver(cluster).observe(AWAY).observed.shares is None

    def test_a_seal_keeps_the_way_back(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Sealed while away, the snapshot is still there."""
        go(cluster, AWAY, 1)
        route = driver(cluster)
        route.apply(route.seal(route.observe(AWAY), Fence(2, 1)))
        assert server.mark()["prior"] == PRIMARY


class TestVerifyAndRevert:
    """Whether a move holds, and what is put back if not."""

    def test_a_fence_that_went(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Somebody replaces the whole object: nothing holds any more, and nothing is ours."""
        route = driver(cluster)
        seen, move = route.observe(AWAY), Move(AWAY, Fence(1, 1))
        route.apply(route.patch(seen, move))
        server.put(SERVICE, {"selector": {"app": "other"}})
        assert "annotation" in str(route.verify(seen, move))
        assert route.revert(seen, Fence(1, 2)) is None

    def test_a_selector_that_went(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Somebody changes the selector only."""
        route = driver(cluster)
        seen, move = route.observe(AWAY), Move(AWAY, Fence(1, 1))
        route.apply(route.patch(seen, move))
        server.edit(SERVICE, {"spec": {"selector": {"track": "x"}}})
        assert "selector" in str(route.verify(seen, move))
        assert route.revert(seen, Fence(1, 2)) is None

    def test_undone_as_it_was(self, server: FakeApiServer, cluster: Cluster) -> None:
        """From both back to what it was, with the way home kept and the fence raised."""
        go(cluster, BOTH, 1)
        before = server.mark()
        route = driver(cluster)
        seen = route.observe(AWAY)
        route.apply(route.patch(seen, Move(AWAY, Fence(2, 1))))
        patch = route.revert(seen, Fence(2, 2))
        assert patch is not None
        route.apply(patch)
        assert server.selector() == {"app": "login"}
        assert server.mark() == {**before, "epoch": 2, "step": 2}

    def test_overtaken_is_not_undone(self, server: FakeApiServer, cluster: Cluster) -> None:
        """A newer fence is somebody else's work."""
        route = driver(cluster)
        seen = route.observe(AWAY)
        route.apply(route.patch(seen, Move(AWAY, Fence(1, 1))))
        go(cluster, AWAY, 2)
        assert route.revert(seen, Fence(1, 2)) is None
        assert server.mark()["epoch"] == 2


class TestWhatItNeeds:
    """Permissions and example."""

    def test_permissions_are_what_is_asked_for(self, server: FakeApiServer, cluster: Cluster) -> None:
        """Every request is allowed by a rule, and every rule but the StatefulSet's is used here."""
        go(cluster, BOTH, 1)
        verbs = {"PATCH": "patch", "GET": "get"}
        asked = {
            (each.url.path.split("/")[-1 if each.url.path == PODS else -2], verbs[each.method.value.upper()])
            for each in server.requests
        }
        asked = {(resource, "list") if resource == "pods" else (resource, verb) for resource, verb in asked}
        rules = {(rule.resource, verb) for rule in ServiceRoute.PERMISSIONS for verb in rule.verbs}
        assert rules - asked == {("statefulsets", "get")}
        assert asked <= rules

    def test_the_example_is_a_policy(self) -> None:
        """What the driver shows can be used as it is."""
        assert policy_of(**yaml.safe_load(ServiceRoute.EXAMPLE)).spec.route is not None

    def test_what_a_rehearsal_takes_for_granted(self, cluster: Cluster) -> None:
        """Only where there is no cluster, and no selector in the policy."""
        assert driver(Rehearsal()).assumed == {"target": "app=login", "standby": "app=login-standby"}
        assert driver(cluster).assumed == {}
        selectors = {"target": PRIMARY, "standby": STANDBY}
        assert driver(Rehearsal(), route={"name": "login", "selectors": selectors}).assumed == {}
