"""CircuitBreakers on a real API server: what it stores, what it refuses and how, what kubectl shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings

from fuseboard.crd import definition as crd
from fuseboard.errors import InvalidPolicy
from fuseboard.policy import matchers
from fuseboard.policy.spec import API_VERSION, KIND
from fuseboard.policy.validation import parse_document
from fuseboard.testing.strategies import MATCHERS, values_like
from tests.cluster.api import RefusedError, has_condition
from tests.cluster.kubectl import run_kubectl
from tests.cluster.kustomize import KNATIVE
from tests.policy.documents import MISTAKES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.api import Api, Json
    from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.timeout(120)

FILE: Final = KNATIVE / "base" / "circuitbreakers.yaml"
(_VERSION,) = crd.definition()["spec"]["versions"]
SPEC: Final = _VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]
NO_MISTAKE_IN_JSON: Final = "a key of spec.signals.weights is 5"
"""JSON has no keys but text."""


@pytest.fixture(scope="module", autouse=True)
def installed(cluster: Cluster) -> Iterator[None]:
    """Install the CRD as the base has it, with strict validation; take it away in the end."""
    definition = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    cluster.api.apply(definition)
    path = cluster.api.path(definition)
    cluster.api.wait(path, "Established", lambda found: has_condition(found, "Established"))
    yield
    cluster.api.delete(path)


def breaker(namespace: str, spec: object = None, name: str = "login") -> Json:
    """Return a breaker with this spec."""
    head = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": namespace}}
    return {**head, "spec": {"target": {"name": "login"}} if spec is None else spec}


def refusal(api: Api, document: Json) -> str:
    """Return what the API server says to a breaker that it does not accept."""
    with pytest.raises(RefusedError) as refused:
        api.create(document, dryRun="All")
    assert refused.value.status in {400, 422}
    return str(refused.value)


def kubectl(cluster: Cluster, *arguments: str, given: str = "") -> str:
    """Run kubectl as the administrator; return all that it says."""
    done = run_kubectl(cluster, *arguments, given=given)
    return done.stdout + done.stderr


class TestAccepted:
    """What is stored, and shown."""

    def test_the_shortest_breaker_is_stored_with_all_defaults(self, cluster: Cluster, namespace: str) -> None:
        """Applied with kubectl, it shows each number that will be in force, and means the same policy as the file."""
        short = breaker(namespace)
        said = kubectl(cluster, "apply", "-f", "-", given=yaml.safe_dump(short))
        stored = cluster.api.get(cluster.api.path(short))

        assert "created" in said
        assert parse_document(stored, "") == parse_document(short, "")
        assert stored["spec"]["trip"] == {
            "window": "60s", "limitAt": 3, "openAt": 10, "minimumSources": 1, "readyFor": "15s", "rolloutFor": "60s",
            "tripOnCritical": True,
            "classes": {"runtime": "Open", "configuration": "Open", "network": "Open", "node": "Open"},
        }  # fmt: skip
        assert stored["spec"]["recover"] == {
            "mode": "Auto", "coolDown": "100s", "maxCoolDown": "1h", "healthyFor": "30s", "maxTrial": "10m",
        }  # fmt: skip
        assert stored["spec"]["target"] == {"kind": "Deployment", "name": "login", "minReady": 1}

    def test_the_example_is_accepted(self, cluster: Cluster, namespace: str) -> None:
        """What is a file of the table elsewhere is a resource here."""
        example = KNATIVE.parent / "examples" / "01-one-alert" / "breakers.yaml"
        document = yaml.safe_load(example.read_text(encoding="utf-8"))
        document["metadata"]["namespace"] = namespace

        stored = cluster.api.create(document)

        assert parse_document(stored, "") == parse_document(document, "")

    def test_what_is_null_is_what_is_not_there(self, cluster: Cluster, namespace: str) -> None:
        """An optional field may be written as null; the default, or nothing, is stored."""
        spec = {"target": {"name": "login", "capacity": None}, "standby": None, "trip": None, "dependsOn": None}

        stored = cluster.api.create(breaker(namespace, spec), dryRun="All")["spec"]

        assert not {"standby"} & set(stored)
        assert (stored["trip"]["openAt"], stored["dependsOn"]) == (10, [])

    def test_kubectl_shows_the_six_columns(self, cluster: Cluster, namespace: str) -> None:
        """Once a status is there, each column has its value, and Since is an age."""
        path = cluster.api.path(cluster.api.create(breaker(namespace)))
        condition = {
            "type": "Ready", "status": "True", "reason": "Valid", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        status = {
            "state": "OPEN", "serving": "standby 100 %", "ready": "0/2", "standby": "1/1", "epoch": 2**53 - 1,
            "since": "2026-01-01T00:00:00.123456Z", "reason": "HighErrorRate", "mode": "Enforce",
            "observedGeneration": 1,
            "placement": {"epoch": 1, "step": 0, "shares": {"target": 0, "standby": 100}, "result": "verified"},
            "dependencies": [{"name": "db", "state": "OPEN"}],
            "conditions": [condition],
        }  # fmt: skip
        found = cluster.api.patch(f"{path}/status", {"status": status})
        head, row = kubectl(cluster, "get", "cb", "-n", namespace).splitlines()

        assert found["status"] == status  # nothing of it was pruned
        assert found["metadata"]["generation"] == 1
        assert head.split() == ["NAME", "STATE", "SERVING", "READY", "STANDBY", "SINCE", "REASON"]
        cells = row.split()
        assert (cells[:5], cells[5:7], cells[-1]) == (
            ["login", "OPEN", "standby", "100", "%"],
            ["0/2", "1/1"],
            "HighErrorRate",
        )
        assert cells[-2][-1] in "smhdy"
        waited = kubectl(cluster, "wait", "--for=condition=Ready", "--timeout=10s", "cb/login", "-n", namespace)
        assert "condition met" in waited

    def test_kubectl_explains_the_fields(self, cluster: Cluster) -> None:
        """What stands below a field in the source is what ``kubectl explain`` says."""
        said = " ".join(kubectl(cluster, "explain", "cb.spec.trip").split())

        assert "limitAt <integer> The weight from which the target's traffic is limited." in said
        assert "window <string> How long an occurrence counts" in said
        assert "Enforce: Change the cluster as well." in " ".join(kubectl(cluster, "explain", "cb.spec.mode").split())


class TestRefused:
    """What is refused, with a sentence that helps."""

    @pytest.mark.parametrize(
        ("spec", "path", "sentence"),
        [
            (
                {"trip": {"limitAt": 10}},
                "spec.trip.limitAt",
                "limitAt is not less than openAt: lower limitAt, or raise",
            ),
            (
                {"recover": {"coolDown": "2h"}},
                "spec.recover.coolDown",
                "coolDown is 2h, which is more than maxCoolDown (1h): lower coolDown, or raise maxCoolDown",
            ),
            (
                {"recover": {"healthyFor": "600s"}},
                "spec.recover.healthyFor",
                "healthyFor is 600s, which is not less than maxTrial (10m): no trial could end well; lower healthyFor",
            ),
            ({"trip": {"window": "999ms"}}, "spec.trip.window", '"999ms" is no duration from 1s to 720h'),
            ({"trip": {"window": "720h1s"}}, "spec.trip.window", '"720h1s" is no duration from 1s to 720h'),
            ({"trip": {"window": "1d"}}, "spec.trip.window", "write one such as 100s, 1m30s or 1h"),
            ({"trip": {"window": "99999h99999h"}}, "spec.trip.window", "is no duration from 1s to 720h"),
            (
                {"standby": {"name": "login"}, "route": {"name": "login"}},
                "spec.standby",
                "the standby is the target itself (Deployment/login): name another workload",
            ),
            (
                {"standby": {"name": "b"}},
                "spec.standby",
                "a standby needs a route: name the Service that serves target",
            ),
            (
                {"route": {"name": "login", "selectors": {"target": {"a": "b"}, "standby": {"a": "b"}}}},
                "spec.route.selectors.standby",
                "target and standby have the same selector, so traffic could never move",
            ),
            (
                {"recover": {"trialShares": [50]}},
                "spec.recover.trialShares",
                "the shares do not rise to 100: write each larger than the one before, and 100 as the last",
            ),
            ({"recover": {"trialShares": [50, 50, 100]}}, "spec.recover.trialShares", "the shares do not rise to 100"),
            ({"recover": {"trialShares": [10, 100]}}, "spec.recover.trialShares", "write [50, 100], or [100]"),
            (
                {"target": {"name": "login", "capacity": 1}, "signals": {"load": {}}},
                "spec.signals.load",
                "nothing says what the load is: write a query, or the annotation",
            ),
            (
                {"signals": {"load": {"query": "up"}}},
                "spec.target",
                "target.capacity, which is missing: write the load",
            ),
            ({"dependsOn": ["db", "login"]}, "spec.dependsOn", "names this breaker itself (login): remove it"),
            ({"target": {"name": "Login"}}, "spec.target.name", '"Login" is no name: write lower case letters, digits'),
            ({"recover": {"probe": {"http": "x"}}}, "spec.recover.probe.http", '"x" is no path: write one such as'),
            ({"signals": {"match": ["a==b"]}}, "spec.signals.match[0]", "this is no matcher: write one such as"),
            (
                {"criticality": {"rules": [{"match": ['reason=~"("']}]}},
                "spec.criticality.rules[0].match[0]",
                "missing closing ): `(` evaluating rule: write a regular expression that RE2 accepts",
            ),
        ],
    )
    def test_each_rule_has_its_sentence(
        self, cluster: Cluster, namespace: str, spec: Json, path: str, sentence: str
    ) -> None:
        """What spans fields is told at the field, with what to write instead."""
        said = refusal(cluster.api, breaker(namespace, {"target": {"name": "login"}, **spec}))

        assert f"{path}: " in said
        assert sentence in said

    @pytest.mark.parametrize("name", ["log.in", "a" * 64])
    def test_a_name_that_no_event_can_carry_is_refused(self, cluster: Cluster, namespace: str, name: str) -> None:
        """A resource may be called so, a breaker may not: its name is part of the subject of its events."""
        said = refusal(cluster.api, breaker(namespace, name=name))

        assert f"metadata.name is {name}: write at most 63 lower case letters, digits and -" in said

    @pytest.mark.parametrize(
        ("spec", "message"), [each for each in MISTAKES if not each[1].startswith(NO_MISTAKE_IN_JSON)]
    )
    def test_whatever_a_file_may_not_have_is_refused(
        self, cluster: Cluster, namespace: str, spec: object, message: str
    ) -> None:
        """Each mistake that is named in a file is named by the API server, by the same field."""
        said = refusal(cluster.api, breaker(namespace, spec))

        field = message.partition(" ")[0].partition("[")[0]
        spans = ("spec.target.capacity", "spec.route", "spec.dependsOn")  # told where it is easier to see
        assert field in said or field in spans

    def test_an_edit_is_held_against_the_same_rules(self, cluster: Cluster, namespace: str) -> None:
        """What is no breaker when it is created does not become one by a patch."""
        path = cluster.api.path(cluster.api.create(breaker(namespace)))

        with pytest.raises(RefusedError, match="limitAt is not less than openAt"):
            cluster.api.patch(path, {"spec": {"trip": {"openAt": 3}}})

    def test_a_status_does_not_stand_in_its_way(self, cluster: Cluster, namespace: str) -> None:
        """A status with a wrong part is refused, one with a new state is not: it has no rule but its types."""
        path = cluster.api.path(cluster.api.create(breaker(namespace)))

        with pytest.raises(RefusedError, match="since"):
            cluster.api.patch(f"{path}/status", {"status": {"since": "yesterday"}})
        assert cluster.api.patch(f"{path}/status", {"status": {"state": "NEW"}})["status"] == {"state": "NEW"}


class TestAlways:
    """For whatever is written."""

    def test_what_is_accepted_can_be_used(self, cluster: Cluster, namespace: str) -> None:
        """Whatever the API server stores is a policy, and the same one as the document says by itself, if it does."""
        outcomes = set()

        @settings(max_examples=400, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(values_like(SPEC))
        def try_one(spec: Any) -> None:  # noqa: ANN401  - JSON
            document = breaker(namespace, spec)
            try:
                stored = cluster.api.create(document, dryRun="All")
            except RefusedError:
                outcomes.add("refused")
                return
            policy = parse_document(stored, "")  # never raises
            outcomes.add("accepted")
            try:
                assert parse_document(document, "") == policy
            except InvalidPolicy as error:
                assert re.search(r" is (None|\d+\.0):", str(error))  # noqa: PT017  - JSON's null and 1.0 are stored as nothing, 1

        try_one()
        assert outcomes == {"accepted", "refused"}

    @pytest.mark.parametrize("matcher", MATCHERS)
    def test_a_matcher_that_is_accepted_is_one(self, cluster: Cluster, namespace: str, matcher: str) -> None:
        """The API server knows matchers and RE2 as we do; strange spaces alone are a mistake to it and not to us."""
        spec = {"target": {"name": "login"}, "signals": {"match": [matcher]}}
        strange = any(each.isspace() and each not in " \t\n\f\r" for each in matcher)
        if matchers.matcher_problem(matcher) or strange:
            assert "spec.signals.match[0]" in refusal(cluster.api, breaker(namespace, spec))
        else:
            cluster.api.create(breaker(namespace, spec), dryRun="All")

    def test_a_large_breaker_is_affordable(self, cluster: Cluster, namespace: str) -> None:
        """The rules of a breaker with hundreds of matchers stay below what the API server spends on one request."""
        match = [f'reason=~"{"x" * 40}{number}.*"' for number in range(10)]
        rules = [{"match": match, "name": str(number)} for number in range(64)]
        spec = {"target": {"name": "login"}, "criticality": {"rules": rules}, "signals": {"match": match}}

        assert parse_document(cluster.api.create(breaker(namespace, spec), dryRun="All"), "")
