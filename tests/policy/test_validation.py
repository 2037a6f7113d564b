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
from fuseboard.policy.validation import check_table, parse_document
from fuseboard.times import duration_ms
from tests.policy.documents import LABEL, MISTAKES, document, target


def test_everything_but_the_target_has_a_default() -> None:
    """The shortest policy observes, with the numbers of the design."""
    policy = parse_document(document(), "")
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
    policy = parse_document(document(target(trip={"limitAt": 3, "openAt": 12}, recover={}, dependsOn=["db"])), "")
    kept = policy.brief()
    assert kept["spec"] == {"target": {"name": "login"}, "trip": {"openAt": 12}, "dependsOn": ["db"]}
    assert parse_document(msgspec.json.decode(msgspec.json.encode(kept)), "") == policy


def test_a_whole_policy_is_read() -> None:
    """Every field that is written is in force."""
    selectors = {"target": {"app": "login"}, "standby": {"app": "login-standby"}}
    policy = parse_document(
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
    signals = parse_document(document(target(signals={"weights": {"mine": 2}})), "").spec.signals
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
    MISTAKES,
)
def test_a_mistake_is_named(spec: object, message: str) -> None:
    """A mistake is told by the field's path, the value that stands there, and what was expected."""
    with pytest.raises(InvalidPolicy, match=f"^breakers.yaml, document 1 \\(login\\): {re.escape(message)}"):
        parse_document(document(spec), "breakers.yaml, document 1")


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
        parse_document(whole, "here")


def test_a_message_is_not_longer_than_what_people_read() -> None:
    """However large the value, the message stays short."""
    nested: object = "x" * 10_000
    for _ in range(20):
        nested = [nested] * 20
    for value in (nested, "x" * 100_000, {"a": nested}):
        with pytest.raises(InvalidPolicy) as raised:
            parse_document(document(target(mode=value)), "here")
        assert len(str(raised.value)) < 1_000


def test_depth_does_no_harm() -> None:
    """A document that is nested without end is refused like any other."""
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidPolicy):
        parse_document(document(target(trip=deep)), "here")


# -- the table -------------------------------------------------------------------------------------------------------


def row(name: str, workload: str, route: str = "", **parts: str) -> Policy:
    """Return a policy of the table."""
    spec: dict[str, object] = {"target": {"name": workload, **parts}}
    if route:
        spec["route"] = {"name": route}
    return parse_document(document(spec, metadata={"name": name, "namespace": "shop"}), "")


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
        ((row("a", "x"), row("a", "y")), "shop/a: two documents have this name: remove or rename one"),
    ],
)
def test_breakers_that_share_something_are_refused(rows: tuple[Policy, ...], message: str) -> None:
    """Two breakers with one name, on one target or of one route would work against each other."""
    with pytest.raises(InvalidPolicy, match=f"^{re.escape(message)}"):
        check_table(rows)


def depending(name: str, *others: str) -> Policy:
    """Return a policy that depends on other breakers."""
    spec = {"target": {"name": name}, "dependsOn": list(others)}
    return parse_document(document(spec, metadata={"name": name, "namespace": "shop"}), "")


def test_dependencies_that_lead_nowhere_back_are_a_table() -> None:
    """Two that depend on the same, and one that depends on what is not in the table, are no cycle."""
    rows = [depending("a", "b", "c"), depending("b", "c"), depending("c", "nobody")]
    assert check_table(rows) == tuple(rows)


def test_dependencies_that_lead_back_are_refused() -> None:
    """Of breakers that depend on each other, each would wait for the other."""
    with pytest.raises(InvalidPolicy, match="dependsOn is circular") as raised:
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
        policy = parse_document(document(spec), "here")
    except InvalidPolicy as error:
        assert "spec." in str(error)  # noqa: PT017  - either is fine
    else:
        assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


@given(anything)
def test_any_document_is_accepted_or_explained(whole: object) -> None:
    """Whatever a document is, nothing but an invalid policy is raised."""
    with pytest.raises(InvalidPolicy):
        parse_document(whole, "here")
