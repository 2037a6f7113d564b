"""The offline check of files: all errors at once, and what is allowed but hardly meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.crd.definition import definition
from fuseboard.errors import InvalidPolicy
from fuseboard.policy.lint import Severity, check
from fuseboard.policy.validation import parse_document
from fuseboard.testing.strategies import values_like
from tests.policy.documents import document

if TYPE_CHECKING:
    from fuseboard.policy.lint import Finding, LintReport


SPEC: Final[dict[str, Any]] = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def row(name: str = "login", **parts: Any) -> dict[str, Any]:  # noqa: ANN401  - parts of a document
    """Return a breaker of which nothing is to be said, but for these parts; each has a target and route of its own."""
    spec = {"target": {"name": name}, "standby": {"name": f"{name}-standby"}, "route": {"name": name}, **parts}
    return document(spec, metadata={"name": name, "namespace": "shop"})


def lint(*documents: object, **files: object) -> LintReport:
    """Check documents of one file, and of others."""
    texts = {"a.yaml": yaml.safe_dump_all(documents)} if documents else {}
    return check({**texts, **{f"{name}.yaml": yaml.safe_dump(each) for name, each in files.items()}})


def only(report: LintReport) -> Finding:
    """Return the one finding of a report."""
    (found,) = report.findings
    return found


def test_nothing_is_said_of_a_good_breaker() -> None:
    """A breaker with a standby, a route and the defaults has no finding, whatever its mode."""
    for mode in ("Observe", "Enforce", "Disabled"):
        assert lint(row(mode=mode)).findings == ()


# -- errors ----------------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_a_policy_is_told() -> None:
    """Not the first alone: each problem of each document is a finding of its own."""
    wrong = row("a", trip={"limitAt": 10, "window": "0s"}, recover={"coolDown": "2h"}, dependsOn=["a"])
    report = lint(wrong, row("b", trip={"limitAt": "x"}), row("c", signals={"match": ["a==b"]}))

    assert [(each.breaker, each.text.partition(" is ")[0]) for each in report.findings] == [
        ("shop/a", "spec.trip.window"),
        ("shop/a", "spec.trip.limitAt"),
        ("shop/a", "spec.recover.coolDown"),
        ("shop/a", "spec.dependsOn"),
        ("shop/b", "spec.trip.limitAt"),
        ("shop/c", "spec.signals.match[0]"),
    ]
    assert {(each.severity, each.code, each.file) for each in report.findings} == {
        (Severity.ERROR, "invalid", "a.yaml")
    }
    assert (report.checked, report.skipped) == (3, 0)


def test_a_line_says_where_and_what() -> None:
    """File, breaker, severity, sentence and code, in that order."""
    found = only(lint(row(trip={"limitAT": 1})))

    assert str(found) == (
        "a.yaml: shop/login: error: spec.trip.limitAT is not a field of a CircuitBreaker: "
        "remove it, or check its spelling [invalid]"
    )


def test_what_several_breakers_want_is_told_for_each() -> None:
    """Three breakers of one target, two of one route, two of one name: nobody but the first has them."""
    report = lint(
        row("a"),
        row("b", target={"name": "a"}),
        row("c", target={"name": "a"}, route={"name": "a"}),
        other=row("a", target={"name": "x"}),
    )

    assert [(each.file, each.breaker, each.text.partition(" already")[0]) for each in report.findings] == [
        ("a.yaml", "shop/b", "the target shop/Deployment/a"),
        ("a.yaml", "shop/c", "the target shop/Deployment/a"),
        ("a.yaml", "shop/c", "the route shop/Service/a"),
        (
            "other.yaml",
            "shop/a",
            "two documents have this name: remove or rename one (also in a.yaml)",
        ),
    ]
    assert {each.code for each in report.findings} == {"taken"}


def test_breakers_of_two_namespaces_do_not_meet() -> None:
    """The same names elsewhere are other breakers, targets and routes."""
    elsewhere = {**row("a"), "metadata": {"name": "a", "namespace": "elsewhere"}}

    assert lint(row("a"), elsewhere).findings == ()


def test_each_cycle_is_told_once() -> None:
    """Of two cycles both are told, by the breaker where each begins."""
    report = lint(
        row("a", dependsOn=["b"]), row("b", dependsOn=["a"]), row("c", dependsOn=["d"]), row("d", dependsOn=["c", "a"])
    )

    assert [each.code for each in report.findings] == ["cycle", "cycle"]
    ways = " ".join(each.text for each in report.findings)
    assert "a → " in ways
    assert "c → " in ways


def test_what_is_wrong_with_one_document_hides_no_other() -> None:
    """A doubled key, an unknown tag, a name that is none: each is told, and so is what comes after."""
    text = "\n---\n".join([
        "{kind: CircuitBreaker, metadata: {name: a}, kind: CircuitBreaker}",
        "{kind: CircuitBreaker, apiVersion: fuseboard.dev/v1alpha1, metadata: {name: b}, spec: !secret x}",
        "{kind: CircuitBreaker, metadata: 5}",
        json.dumps(row("d", mode="none")),
    ])  # fmt: skip
    report = check({"a.yaml": text})

    assert [(each.breaker, each.code) for each in report.findings] == [
        ("default/a", "unreadable"),
        ("default/b", "unreadable"),
        ("document 3", "invalid"),
        ("shop/d", "invalid"),
    ]
    assert "the key 'kind' appears twice" in report.findings[0].text


def test_what_ends_a_file_is_told_after_what_was_before() -> None:
    """From where a file is no YAML nothing can be read; what stands before is checked."""
    report = check(
        {"a.yaml": f"{json.dumps(row(mode='none'))}\n---\n{{ a: b", "b.yaml": json.dumps(row("b", mode="x"))}
    )

    assert [(each.file, each.code) for each in report.findings] == [
        ("a.yaml", "invalid"),
        ("a.yaml", "unreadable"),
        ("b.yaml", "invalid"),
    ]


def test_other_kinds_are_skipped_and_counted() -> None:
    """A folder of a GitOps repository has more than breakers, and some of it is no YAML: a template."""
    report = check({
        "a.yaml": yaml.safe_dump_all([{"kind": "Service"}, row(), None, {"kind": "CustomResourceDefinition"}]),
        "b.yaml": "{{- if .Values.x }}\na: b\n---\nc: {{ d }}\n",
        "c.yaml": "- !reference [a, b]\n---\n---\n",
    })  # fmt: skip

    assert (report.findings, report.checked, report.skipped) == ((), 1, 6)


def test_another_version_is_not_skipped() -> None:
    """What is of our group, or of our kind, is meant for us: a wrong version would be refused by the API server."""
    report = lint({**row("a"), "apiVersion": "fuseboard.dev/v2"}, {**row("b"), "kind": "Breaker"})

    assert [each.text.partition(" is ")[0] for each in report.findings] == ["apiVersion", "kind"]


@given(st.lists(values_like(SPEC), max_size=3))
def test_an_error_is_what_would_be_refused(specs: list[Any]) -> None:
    """For any policies: one is found invalid if, and only if, it would be refused."""
    documents = [document(spec, metadata={"name": f"x{number}"}) for number, spec in enumerate(specs)]
    refused = {f"default/x{number}" for number, each in enumerate(documents) if not _accepted(each)}

    report = lint(*documents)

    assert {each.breaker for each in report.findings if each.code in {"invalid", "unreadable"}} == refused
    assert report.checked == len(specs)


def _accepted(whole: object) -> bool:
    try:
        parse_document(whole, "")
    except InvalidPolicy:
        return False
    return True


# -- warnings --------------------------------------------------------------------------------------------------------

SILENT = {"weights": {"warning": 0, "critical": 0, "page": 0, "occurrence": 0}}
LIMITING = dict.fromkeys(("runtime", "configuration", "network", "node"), "Limit")


@pytest.mark.parametrize(
    ("parts", "code", "sentence"),
    [
        ({"trip": {"openAt": 1_000}}, "out-of-reach", "spec.trip.openAt is 1000, but the Events of an object weigh"),
        ({"signals": SILENT}, "weightless", "every weight is 0, so no failure reaches limitAt"),
        ({"trip": {"classes": LIMITING}}, "never-opens", "no class leads to Open, so no failure opens the breaker"),
        ({"trip": {"classes": {**LIMITING, "node": "Journal"}}}, "never-opens", "let a class lead to Open"),
        ({"trip": {"classes": dict.fromkeys(LIMITING, "Journal")}}, "never-limits", "so no failure counts"),
        (
            {"recover": {"healthyFor": "29s"}},
            "short-healthy-for",
            "healthyFor is 29s, but Alertmanager sends",
        ),
        ({"recover": {"coolDown": "99s"}}, "short-cool-down", "recover.coolDown is 99s: few workloads recover"),
        ({"recover": {"trialShares": [50, 100], "maxTrial": "60s"}}, "trial-too-long", "no trial would succeed"),
        ({"standby": None}, "no-standby", "there is no standby, so the breaker only reports and moves no traffic"),
        ({"target": {"name": "login", "capacity": 5}}, "no-load", "no load is measured"),
        ({"target": {"name": "login", "minReady": 0}}, "no-min-ready", "may lose all its pods"),
        ({"dependsOn": ["db"]}, "unknown-dependency", "names db, but these files have no such breaker"),
        ({"signals": {"match": ['a="b"', 'a="c"']}}, "matches-nothing", "no value of a satisfies all matchers"),
        ({"criticality": {"rules": [{"match": ["class=crash"]}]}}, "matches-nothing", "rules[0] matches no failure"),
        (
            {"criticality": {"rules": [{"match": ["alertname=X"]}]}},
            "unknown-label",
            "uses the label alertname",
        ),
        (
            {"criticality": {"rules": [{"match": ["reason=A"]}, {"match": ["kind=Pod", "reason=A"]}]}},
            "never-reached",
            "rules[1] is never reached: criticality.rules[0] matches the same failures first",
        ),
        (
            {"criticality": {"rules": [{"match": ['class=~".*"']}, {"match": ["reason=A"]}]}},
            "never-reached",
            "rules[1] is never reached",
        ),
    ],
)
def test_what_is_hardly_meant_is_a_warning(parts: dict[str, Any], code: str, sentence: str) -> None:
    """Each has a code of its own, and says what to write instead."""
    found = only(lint(row(**parts)))

    assert (found.severity, found.code) == (Severity.WARNING, code)
    assert sentence in found.text


def test_without_a_route_there_is_no_way_to_move() -> None:
    """A breaker of a target alone lacks both."""
    assert [each.code for each in lint(document()).findings] == ["no-standby", "no-route"]


@pytest.mark.parametrize(
    "parts",
    [
        {"trip": {"openAt": 25}},
        {"signals": {"weights": {"warning": 0, "critical": 0, "page": 0}}},
        {"signals": {**SILENT, "failures": {"OOMKilled": {"weight": 1}}}},
        {"trip": {"classes": {**LIMITING, "node": "Open"}}},
        {"recover": {"healthyFor": "30s", "coolDown": "100s"}},
        {"target": {"name": "login", "capacity": 5}, "signals": {"load": {"query": "up"}}},
        {"signals": {"match": ['a="b"', 'a=~"b|c"', 'a!="c"', 'b=~"x.*"']}},
        {"signals": {"match": ['a=~"x.*"', 'a!~"xy.*"']}},
        {"criticality": {"rules": [{"match": ["class!=node"]}, {"match": ["class=node"]}]}},
        {"criticality": {"rules": [{"match": ["kind=Pod", "reason=A"]}, {"match": ["reason=A"]}]}},
        {"criticality": {"rules": [{"match": ["reason=A"]}, {"match": ['reason=~"A"']}]}},
        {"criticality": {"rules": [{"match": ["reason=A"]}, {"match": ['reason=~".*"']}]}},
    ],
)
def test_what_may_be_meant_is_no_warning(parts: dict[str, Any]) -> None:
    """Nothing is said of what only looks like it."""
    assert lint(row(**parts)).findings == ()


def test_a_dependency_of_the_same_files_is_known() -> None:
    """It may stand in another file, and even be wrong itself; one of another namespace is none."""
    other = {**row("db"), "metadata": {"name": "db", "namespace": "elsewhere"}}

    assert lint(row("a", dependsOn=["db"]), db=row("db")).findings == ()
    assert only(lint(row("a", dependsOn=["db"]), db=row("db", mode="none"))).code == "invalid"
    assert only(lint(row("a", dependsOn=["db"]), db=other)).code == "unknown-dependency"


def test_what_is_refused_gets_no_advice() -> None:
    """First it must be a policy."""
    assert only(lint(row(recover={"coolDown": "2h", "healthyFor": "5s"}))).code == "invalid"
