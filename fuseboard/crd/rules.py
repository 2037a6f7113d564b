"""The rules of a CircuitBreaker beyond its types, in CEL with a message each, as the API server checks them.

They match ``validation``. The API server fills in defaults before it runs them, and runs them only if all fields have
the right type. Therefore a rule tests with ``has()`` only for optional fields. The limits on lengths of texts and lists
in the policy exist for these rules, because the API server estimates the cost of a rule from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from fuseboard.policy.spec import Duration, Matcher, Name

if TYPE_CHECKING:
    from fuseboard.crd.openapi import Schema

_SPACE: Final = r"[\s\v\x1c-\x1f\x85\pZ]"
"""Python's white space, which is more than RE2's."""

_MATCHER: Final = (
    r"(?s)^\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(=~|!~|!=|=)\s*"
    rf'("([^"\\]|\\.)*"|([^"=~{_SPACE[1:-1]}][^"{_SPACE[1:-1]}]*)?)\s*$'
)
"""The syntax of a matcher in ``policy.matchers``, in RE2."""

_EXPRESSION: Final = (
    r"""!self.matches(r'^[^"=!]*[=!]~') || [self.substring(self.indexOf('~') + 1).trim()].all(e, """
    r"""'a'.matches((e.startsWith('"') ? e.substring(1, size(e) - 1) : e)"""
    r""".replace('\\\\', '\\').replace('\\"', '"')) in [true, false])"""
)
"""Tests the regular expression of a matcher; an invalid expression is an error with RE2's message."""


def _rule(rule: str, message: str, field: str = "") -> Schema:
    """Return a rule; a message that begins with a quote is a CEL expression, which can quote values."""
    schema = {"rule": rule, ("messageExpression" if message.startswith("'") else "message"): message}
    return {**schema, "fieldPath": field} if field else schema


def _pattern(kind: Any) -> str:  # noqa: ANN401  - an annotated type
    pattern: str = msgspec.json.schema(kind)["pattern"]
    return pattern


RULES_BY_TYPE: Final[tuple[tuple[Any, tuple[Schema, ...]], ...]] = (
    (
        Duration,
        (
            _rule(
                f"self.matches('{_pattern(Duration)}') && duration(self) >= duration('1s') && "
                "duration(self) <= duration('720h')",
                "'\"' + self + '\" is no duration from 1s to 720h (30 days): write one such as 100s, 1m30s or 1h'",
            ),
        ),
    ),
    (
        Name,
        (
            _rule(
                f"self.matches('{_pattern(Name)}')",
                "'\"' + self + '\" is no name: write lower case letters, digits and -, with no - at either end'",
            ),
        ),
    ),
    (
        Matcher,
        (
            _rule(
                f"self.matches(r'''{_MATCHER}''')",
                """this is no matcher: write one such as severity="critical" or severity=~"warning|critical\"""",
            ),
            _rule(
                _EXPRESSION,
                "write a regular expression that RE2 accepts",
            ),
        ),
    ),
)
"""Rules for each value of a type. They repeat its pattern with a better message than the API server's own."""

RULES_BY_PATH: Final[dict[str, tuple[Schema, ...]]] = {
    "recover.probe.http": (
        _rule("self.matches('^/[!-~]*$')", "'\"' + self + '\" is no path: write one such as /healthz, without a host'"),
    ),
    "recover.trialShares": (
        _rule(
            "self[size(self) - 1] == 100 && self.isSorted() && self.all(one, self.exists_one(other, other == one))",
            "the shares do not rise to 100: write each larger than the one before, and 100 as the last, "
            "such as [50, 100]",
        ),
        _rule(
            "self.all(share, share in [50, 100])",
            "a Service sends its traffic to the target, the standby, or both: write [50, 100], or [100]",
        ),
    ),
    "route.selectors": (
        _rule(
            "self.target != self.standby",
            "target and standby have the same selector, so traffic could never move: write the labels that only the "
            "standby's pods have",
            ".standby",
        ),
    ),
    "signals.load": (
        _rule(
            "self.query != '' || self.annotation != ''",
            "nothing says what the load is: write a query, or the annotation of alerts that holds the load",
        ),
    ),
    "": (
        _rule(
            "self.trip.limitAt < self.trip.openAt",
            "limitAt is not less than openAt: lower limitAt, or raise openAt",
            ".trip.limitAt",
        ),
        _rule(
            "duration(self.recover.coolDown) <= duration(self.recover.maxCoolDown)",
            "'coolDown is ' + self.recover.coolDown + ', which is more than maxCoolDown (' + "
            "self.recover.maxCoolDown + '): lower coolDown, or raise maxCoolDown'",
            ".recover.coolDown",
        ),
        _rule(
            "duration(self.recover.healthyFor) < duration(self.recover.maxTrial)",
            "'healthyFor is ' + self.recover.healthyFor + ', which is not less than maxTrial (' + "
            "self.recover.maxTrial + '): no trial could end well; lower healthyFor, or raise maxTrial'",
            ".recover.healthyFor",
        ),
        _rule(
            "!has(self.standby) || self.standby.kind != self.target.kind || self.standby.name != self.target.name",
            "'the standby is the target itself (' + self.target.kind + '/' + self.target.name + "
            "'): name another workload'",
            ".standby",
        ),
        _rule(
            "!has(self.standby) || has(self.route)",
            "a standby needs a route: name the Service that serves target and standby, for example "
            "{kind: Service, name: login}",
            ".standby",
        ),
        _rule(
            "!has(self.signals.load) || has(self.target.capacity)",
            "signals.load is held against target.capacity, which is missing: write the load that the target can carry, "
            "or remove signals.load",
            ".target",
        ),
    ),
}
"""Rules by path below ``spec``.

A rule about several fields stands above a part with a default: the API server checks the default of the part before it
fills in the defaults of the members.
"""

ROOT_RULES: Final = (
    _rule(
        "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
        "'metadata.name is ' + self.metadata.name + ': write at most 63 lower case letters, digits and -'",
    ),
    _rule(
        "!(self.metadata.name in self.spec.dependsOn)",
        "'spec.dependsOn names this breaker itself (' + self.metadata.name + '): remove it'",
        ".spec.dependsOn",
    ),
)
"""Rules about the name of the breaker."""
