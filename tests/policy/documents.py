"""Documents that users may write, right and wrong."""

from __future__ import annotations

from typing import Any

LABEL = "expected a DNS-1123 label: at most 63 lower case letters, digits and '-', with no '-' at either end"
DURATION = "expected a duration such as 100s, 1m30s or 1h, of at most 30 days"


def document(spec: object = None, **top: Any) -> dict[str, Any]:  # noqa: ANN401  - parts of a document
    """Return a document with this spec, and other members at its top."""
    head = {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": {"name": "login"}}
    return {**head, "spec": spec if spec is not None else {"target": {"name": "login"}}, **top}


def target(**parts: object) -> dict[str, object]:
    """Return a spec with a target and these parts."""
    return {"target": {"name": "login"}, **parts}


MISTAKES = [
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
        "spec.target.minReady is -1: expected a number of ready pods, from 0 to 100000",
    ),
    ({"target": {"name": "x", "capacity": 0}}, "spec.target.capacity is 0: expected a load above 0, in the unit"),
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
    (target(recover={"trialShares": [10, 100]}), "spec.recover.trialShares is [10, 100]: expected only 50 and 100"),
    (
        target(recover={"probe": {"http": "healthz"}}),
        "spec.recover.probe.http is 'healthz': expected a path such as",
    ),
    (
        target(recover={"probe": {"http": "/\n"}}),
        "spec.recover.probe.http is '/\\n': expected a path without a line break",
    ),
    (target(dependsOn=["login"]), "spec.dependsOn is 'login': expected the names of other breakers"),
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
]
"""Specs that are refused, and the message that says why."""
