"""The policy: what a user may write, and what a mistake is answered with."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.errors import InvalidPolicy
from fuseboard.policy.enums import Mode, WorkloadKind
from fuseboard.policy.spec import Policy
from fuseboard.policy.validation import check_table, parse
from fuseboard.times import duration_ms

DURATION = "expected a duration such as 100s, 1m30s or 1h, of at most 30 days"
LABEL = "expected a DNS-1123 label: at most 63 lower case letters, digits and '-', with no '-' at either end"


def document(spec: object = None, **top: Any) -> dict[str, Any]:  # noqa: ANN401  - parts of a document
    """Return a document with this spec, and other members at its top."""
    head = {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": {"name": "login"}}
    return {**head, "spec": spec if spec is not None else {"target": {"name": "login"}}, **top}


def target(**parts: object) -> dict[str, object]:
    """Return a spec with a target and these parts."""
    return {"target": {"name": "login"}, **parts}


def test_everything_but_the_target_has_a_default() -> None:
    """The shortest policy observes, with the numbers of the design."""
    policy = parse(document(), "")
    spec = policy.spec
    assert (policy.key, policy.namespace) == ("default/login", "default")
    assert (spec.mode, spec.target.kind, spec.standby, spec.route) == (
        Mode.OBSERVE,
        WorkloadKind.DEPLOYMENT,
        None,
        None,
    )
    assert (spec.trip.window, spec.trip.limit_at, spec.trip.open_at, spec.trip.minimum_sources) == ("60s", 3, 10, 1)
    assert (spec.recover.cool_down, spec.recover.max_cool_down, spec.recover.healthy_for) == ("100s", "1h", "30s")
    assert spec.signals.lease_ms == 3 * 4 * 3_600_000


def test_defaults_are_left_out_where_it_is_kept() -> None:
    """What is written as it would be anyway is not kept, and what was kept reads as the same policy."""
    policy = parse(document(target(trip={"limitAt": 3, "openAt": 12}, recover={}, dependsOn=["db"])), "")
    kept = policy.brief()
    assert kept["spec"] == {"target": {"name": "login"}, "trip": {"openAt": 12}, "dependsOn": ["db"]}
    assert parse(msgspec.json.decode(msgspec.json.encode(kept)), "") == policy


def test_a_whole_policy_is_read() -> None:
    """Every field that is written is in force."""
    selectors = {"target": {"app": "login"}, "standby": {"app": "login-standby"}}
    policy = parse(
        document(
            {
                "mode": "Enforce",
                "target": {"kind": "StatefulSet", "name": "login"},
                "standby": {"name": "login-standby"},
                "route": {"kind": "Service", "name": "login", "selectors": selectors},
                "signals": {"match": ['severity="page"'], "weights": {"page": 7}, "repeatInterval": "1h"},
                "trip": {"window": "1m30s", "limitAt": 1, "openAt": 2, "minimumSources": 2, "limitFor": "5m"},
                "recover": {"coolDown": "5s", "maxCoolDown": "10s", "healthyFor": "1s", "maxTrial": "2s"},
            },
            metadata={"name": "login", "namespace": "shop", "labels": {"team": "web"}},
        ),
        "",
    )
    assert policy.key == "shop/login"
    assert (policy.spec.signals.weigh("page", condition=True), duration_ms(policy.spec.trip.window)) == (7, 90_000)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


@pytest.mark.parametrize(
    ("severity", "condition", "weight"),
    [
        ("", True, 3),
        ("", False, 1),
        ("info", True, 0),
        ("none", True, 0),
        ("critical", True, 10),
        ("critical", False, 10),
        ("mine", True, 2),
        ("unheard of", True, 3),
        ("unheard of", False, 1),
    ],
)
def test_weights(severity: str, condition: bool, weight: int) -> None:  # noqa: FBT001  - a case
    """A severity that is missing or unknown weighs as a warning or an occurrence; the policy may add its own."""
    signals = parse(document(target(signals={"weights": {"mine": 2}})), "").spec.signals
    assert signals.weigh(severity, condition=condition) == weight


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100s", 100_000), ("1m30s", 90_000), ("1h", 3_600_000), ("250ms", 250), ("1h1m1s1ms", 3_661_001)],
)
def test_durations(text: str, expected: int) -> None:
    """Durations are written as Kubernetes writes them."""
    assert duration_ms(text) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        # an unknown field
        (target(foo=1), "spec.foo is not a field of a CircuitBreaker: remove it, or check its spelling"),
        (target(trip={"limitAT": 3}), "spec.trip.limitAT is not a field of a CircuitBreaker"),
        (target(dependsUpon=["db"]), "spec.dependsUpon is not a field of a CircuitBreaker"),
        # a missing field
        ({}, "spec.target is missing"),
        ({"target": {}}, "spec.target.name is missing"),
        (
            target(route={"name": "login", "selectors": {"target": {"a": "b"}}}),
            "spec.route.selectors.standby is missing",
        ),
        # a wrong type
        ([1], "spec is [1]: expected a mapping"),
        ("text", "spec is 'text': expected a mapping"),
        ({"target": None}, "spec.target is None: expected a mapping"),
        ({"target": "login"}, "spec.target is 'login': expected a mapping"),
        ({"target": {"name": 5}}, f"spec.target.name is 5: {LABEL}"),
        (target(trip={"limitAt": "3"}), "spec.trip.limitAt is '3': expected a whole number from 1 to 1000000"),
        (target(trip={"limitAt": 3.5}), "spec.trip.limitAt is 3.5: expected a whole number"),
        (target(trip={"limitAt": True}), "spec.trip.limitAt is True: expected a whole number"),
        (target(signals={"match": "a=b"}), "spec.signals.match is 'a=b': expected a list"),
        (
            target(signals={"match": ["a=b", 5]}),
            "spec.signals.match[1] is 5: expected an Alertmanager matcher such as severity=",
        ),
        (target(signals={"weights": []}), "spec.signals.weights is []: expected a mapping"),
        (target(signals={"weights": {"a": 1, "b": "x"}}), "spec.signals.weights.b is 'x': expected a whole number"),
        (target(signals={"weights": {5: 1}}), "a key of spec.signals.weights is 5: expected text"),
        # a bad duration
        (target(trip={"window": 60}), f"spec.trip.window is 60: {DURATION}"),
        (target(trip={"window": "1d"}), f"spec.trip.window is '1d': {DURATION}"),
        (target(trip={"window": ""}), f"spec.trip.window is '': {DURATION}"),
        (target(trip={"window": "-5s"}), f"spec.trip.window is '-5s': {DURATION}"),
        (target(trip={"window": "1.5s"}), f"spec.trip.window is '1.5s': {DURATION}"),
        (target(trip={"window": "5s\n"}), "spec.trip.window is '5s\\n': expected a duration"),
        (target(trip={"limitFor": 5}), f"spec.trip.limitFor is 5: {DURATION}"),
        # out of range
        (target(trip={"window": "0s"}), "spec.trip.window is '0s': expected a duration from 1s to 30 days"),
        (
            target(recover={"coolDown": "999ms"}),
            "spec.recover.coolDown is '999ms': expected a duration from 1s to 30 days",
        ),
        (target(recover={"maxCoolDown": "721h"}), "spec.recover.maxCoolDown is '721h': expected a duration from 1s"),
        (
            target(signals={"repeatInterval": "999999999h"}),
            "spec.signals.repeatInterval is '999999999h': expected a dur",
        ),
        (target(trip={"limitAt": 0}), "spec.trip.limitAt is 0: expected a whole number from 1 to 1000000"),
        (
            target(trip={"openAt": 10**30}),
            "spec.trip.openAt is 1000000000000000000000000000000: expected a whole number",
        ),
        (
            target(trip={"minimumSources": 101}),
            "spec.trip.minimumSources is 101: expected a whole number from 1 to 100",
        ),
        (target(signals={"weights": {"a": -1}}), "spec.signals.weights.a is -1: expected a whole number from 0 to"),
        (target(trip={"limitAt": 10}), "spec.trip.limitAt is 10: expected less than spec.trip.openAt (10)"),
        (target(recover={"coolDown": "2h"}), "spec.recover.coolDown is '2h': expected at most maxCoolDown (1h)"),
        (target(recover={"healthyFor": "10m"}), "spec.recover.healthyFor is '10m': expected less than maxTrial (10m)"),
        # capacity, trial, dependencies
        (
            {"target": {"name": "x", "minReady": -1}},
            "spec.target.minReady is -1: expected ready pods that it must keep",
        ),
        ({"target": {"name": "x", "capacity": 0}}, "spec.target.capacity is 0: expected load that it can carry"),
        (target(signals={"load": {"query": "up"}}), "spec.target.capacity is None: expected the load that"),
        (
            {"target": {"name": "x", "capacity": 1}, "signals": {"load": {}}},
            "spec.signals.load is {}: expected a query",
        ),
        (target(trip={"readyFor": "999ms"}), "spec.trip.readyFor is '999ms': expected a duration from 1s to 30 days"),
        (target(trip={"rolloutFor": "0s"}), "spec.trip.rolloutFor is '0s': expected a duration from 1s to 30 days"),
        (target(criticality={"halfLife": "0s"}), "spec.criticality.halfLife is '0s': expected a duration from 1s"),
        (target(criticality={"rules": [{"match": []}]}), "spec.criticality.rules[0].match is []"),
        (target(criticality={"rules": [{"match": ["a==b"]}]}), "spec.criticality.rules[0].match[0] is 'a==b'"),
        (
            target(trip={"classes": {"network": "Shut"}}),
            "spec.trip.classes.network is 'Shut': expected one of Open, Limit, Journal",
        ),
        (target(recover={"trialShares": [50]}), "spec.recover.trialShares is [50]: expected shares that rise to 100"),
        (
            target(recover={"trialShares": [100, 50, 100]}),
            "spec.recover.trialShares is [100, 50, 100]: expected shares that rise to 100",
        ),
        (target(recover={"trialShares": [10, 100]}), "spec.recover.trialShares is [10, 100]: expected 50 and 100 only"),
        (
            target(recover={"probe": {"http": "healthz"}}),
            "spec.recover.probe.http is 'healthz': expected a path such as",
        ),
        (
            target(recover={"probe": {"http": "/\n"}}),
            "spec.recover.probe.http is '/\\n': expected a path without a line break",
        ),
        (target(dependsOn=["login"]), "spec.dependsOn is 'login': expected other breakers than this one"),
        (target(dependsOn=["a", "b\n"]), "spec.dependsOn[1] is 'b\\n': expected a name without a line break"),
        # a name, a kind, a mode
        ({"target": {"name": "Login"}}, f"spec.target.name is 'Login': {LABEL}"),
        ({"target": {"name": "login\n"}}, "spec.target.name is 'login\\n': expected a name without a line break"),
        ({"target": {"name": "../etc"}}, f"spec.target.name is '../etc': {LABEL}"),
        ({"target": {"name": "a" * 64}}, f"spec.target.name is '{'a' * 64}': {LABEL}"),
        (
            {"target": {"name": "x", "kind": "Pod"}},
            "spec.target.kind is 'Pod': expected one of Deployment, StatefulSet",
        ),
        (
            target(standby={"name": "x", "kind": "Pod"}),
            "spec.standby.kind is 'Pod': expected one of Deployment, StatefulSet",
        ),
        (target(route={"name": "x", "kind": "HTTPRoute"}), "spec.route.kind is 'HTTPRoute': expected one of Service"),
        (target(mode="enforce"), "spec.mode is 'enforce': expected one of Observe, Enforce"),
        (target(mode=5), "spec.mode is 5: expected one of Observe, Enforce"),
        # a matcher
        (target(signals={"match": ["a==b"]}), "spec.signals.match[0] is 'a==b': expected a matcher such as severity="),
        (target(signals={"match": ['a=~"("']}), """spec.signals.match[0] is 'a=~"("': expected a regular expression"""),
        # what does not go together
        (target(standby={"name": "b"}), "spec.route is None: expected the Service that serves target and standby"),
        (
            target(standby={"name": "login"}, route={"name": "login"}),
            "spec.standby is 'Deployment/login': expected another workload than the target",
        ),
        (
            target(route={"name": "login", "selectors": {"target": {"a": "b"}, "standby": {"a": "b"}}}),
            "spec.route.selectors.standby is {'a': 'b'}: expected another selector than the target's",
        ),
        (
            target(route={"name": "login", "selectors": {"target": {}, "standby": {"a": "b"}}}),
            "spec.route.selectors.target is {}: expected a mapping that is not empty",
        ),
        (
            target(route={"name": "login", "selectors": {"target": {"a": 5}, "standby": {"a": "b"}}}),
            "spec.route.selectors.target.a is 5: expected text",
        ),
    ],
)
def test_a_mistake_is_named(spec: object, message: str) -> None:
    """A mistake is told by the field's path, the value that stands there, and what was expected."""
    with pytest.raises(InvalidPolicy, match=f"^breakers.yaml, document 1 \\(login\\): {re.escape(message)}"):
        parse(document(spec), "breakers.yaml, document 1")


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ([1, 2], "here: the document is [1, 2]: expected a mapping"),
        ("text", "here: the document is 'text': expected a mapping"),
        (5, "here: the document is 5: expected a mapping"),
        (None, "here: the document is None: expected a mapping"),
        ({}, "here: apiVersion is missing"),
        ({5: 1}, "here: a key of the document is 5: expected text"),
        ({**document(), "spec": None}, "here (login): spec is None: expected a mapping"),
        (document(extra=1), "here (login): extra is not a field of a CircuitBreaker"),
        (document(metadata=None), "here: metadata is None: expected a mapping"),
        (document(metadata={}), "here: metadata.name is missing"),
        (document(metadata={"name": {"a": 1}}), f"here: metadata.name is {{'a': 1}}: {LABEL}"),
        (document(metadata={"name": "x", "namespace": "A"}), f"here (x): metadata.namespace is 'A': {LABEL}"),
        (
            document(apiVersion="fuseboard.dev/v2"),
            "here (login): apiVersion is 'fuseboard.dev/v2': expected fuseboard.dev/",
        ),
        (document({"ports": []}, kind="Service"), "here (login): kind is 'Service': expected CircuitBreaker"),
    ],
)
def test_what_is_no_circuit_breaker_is_refused(whole: object, message: str) -> None:
    """A document of another kind or shape is told what it is, before its fields are judged."""
    with pytest.raises(InvalidPolicy, match=f"^{re.escape(message)}"):
        parse(whole, "here")


def test_a_message_is_not_longer_than_what_people_read() -> None:
    """However large the value, the message stays short."""
    nested: object = "x" * 10_000
    for _ in range(20):
        nested = [nested] * 20
    for value in (nested, "x" * 100_000, {"a": nested}):
        with pytest.raises(InvalidPolicy) as raised:
            parse(document(target(mode=value)), "here")
        assert len(str(raised.value)) < 1_000


def test_depth_does_no_harm() -> None:
    """A document that is nested without end is refused like any other."""
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidPolicy):
        parse(document(target(trip=deep)), "here")


# -- the table -------------------------------------------------------------------------------------------------------


def row(name: str, workload: str, route: str = "", **parts: str) -> Policy:
    """Return a policy of the table."""
    spec: dict[str, object] = {"target": {"name": workload, **parts}}
    if route:
        spec["route"] = {"name": route}
    return parse(document(spec, metadata={"name": name, "namespace": "shop"}), "")


def test_different_breakers_make_a_table() -> None:
    """Breakers of different names, targets and routes go together."""
    rows = [row("a", "x", "x"), row("b", "y", "y"), row("c", "x", kind="StatefulSet")]
    assert check_table(rows) == tuple(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((row("a", "x"), row("b", "x")), "shop/b: the target shop/Deployment/x already belongs to the breaker shop/a"),
        (
            (row("a", "x", "r"), row("b", "y", "r")),
            "shop/b: the route shop/Service/r already belongs to the breaker shop/a",
        ),
        ((row("a", "x"), row("a", "y")), "shop/a: two documents have this name: remove one"),
    ],
)
def test_breakers_that_share_something_are_refused(rows: tuple[Policy, ...], message: str) -> None:
    """Two breakers with one name, on one target or of one route would work against each other."""
    with pytest.raises(InvalidPolicy, match=f"^{re.escape(message)}"):
        check_table(rows)


def depending(name: str, *others: str) -> Policy:
    """Return a policy that depends on other breakers."""
    spec = {"target": {"name": name}, "dependsOn": list(others)}
    return parse(document(spec, metadata={"name": name, "namespace": "shop"}), "")


def test_dependencies_that_lead_nowhere_back_are_a_table() -> None:
    """Two that depend on the same, and one that depends on what is not in the table, are no cycle."""
    rows = [depending("a", "b", "c"), depending("b", "c"), depending("c", "nobody")]
    assert check_table(rows) == tuple(rows)


def test_dependencies_that_lead_back_are_refused() -> None:
    """Of breakers that depend on each other, each would wait for the other."""
    with pytest.raises(InvalidPolicy, match="dependsOn leads back to itself") as raised:
        check_table([depending("a", "b"), depending("b", "c"), depending("c", "a"), depending("d", "a")])
    assert "shop/a → shop/b → shop/c → shop/a" in str(raised.value)


# -- for any document ------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3), max_leaves=6
)
FIELDS = {
    "target": ["name", "kind"],
    "standby": ["name", "kind"],
    "route": ["name", "kind", "selectors"],
    "signals": ["match", "weights", "repeatInterval"],
    "trip": ["window", "limitAt", "openAt", "minimumSources", "limitFor"],
    "recover": ["coolDown", "maxCoolDown", "healthyFor", "maxTrial"],
}
places = st.sampled_from([(part, field) for part, fields in FIELDS.items() for field in fields])


@given(places, anything)
def test_any_value_is_accepted_or_explained(place: tuple[str, str], value: object) -> None:
    """Whatever stands in a field, it is a policy that can be written, or a message that names the field."""
    part, field = place
    spec: dict[str, Any] = {"target": {"name": "login"}}
    spec[part] = (
        {"name": "other", field: value} if part in ("standby", "route") else {**spec.get(part, {}), field: value}
    )
    try:
        policy = parse(document(spec), "here")
    except InvalidPolicy as error:
        assert "spec." in str(error)  # noqa: PT017  - either is fine
    else:
        assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


@given(anything)
def test_any_document_is_accepted_or_explained(whole: object) -> None:
    """Whatever a document is, nothing but an invalid policy is raised."""
    with pytest.raises(InvalidPolicy):
        parse(whole, "here")
