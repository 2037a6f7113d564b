"""Matchers mean what they mean to Alertmanager."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.policy import matchers

LABELS = {"severity": "warning", "pod": "login-7", "text": 'a"b\\c\nd'}


@pytest.mark.parametrize(
    "matcher",
    [
        'severity="warning"',
        "severity=warning",
        ' severity = "warning" ',
        'severity!="critical"',
        'severity=~"warning|critical"',
        "severity=~warning|critical",
        'severity=~"warn.*"',
        'severity!~"page|critical"',
        'severity!~"arn"',
        r'pod=~"login-\d+"',
        r"pod=~login-\d+",
        r'text="a\"b\\c\nd"',
        'team=""',
        "team=",
        'team!="shop"',
        'team=~""',
        'team=~"|shop"',
    ],
)
def test_these_match(matcher: str) -> None:
    """Operators, anchoring, escapes and missing labels are Alertmanager's."""
    assert matchers.compile_matchers([matcher])(LABELS)


@pytest.mark.parametrize(
    "matcher",
    [
        'severity="warn"',
        'severity="Warning"',
        'severity!="warning"',
        'severity=~"warn"',
        'severity=~"arning"',
        'severity=~"warn|critical"',
        'severity!~"warning|critical"',
        'severity!~"w.*"',
        r'pod=~"login-\D+"',
        'pod=~"login.7.*x"',
        'team="shop"',
        'team=~"shop|web"',
        'team=~".+"',
        'team!=""',
    ],
)
def test_these_do_not_match(matcher: str) -> None:
    """A part of a value is not the value, and a label that is missing is empty."""
    assert not matchers.compile_matchers([matcher])(LABELS)


def test_all_of_several_must_match() -> None:
    """Matchers of one policy are joined by and; none at all match everything."""
    assert matchers.compile_matchers(['severity="warning"', 'pod=~"login.*"'])(LABELS)
    assert not matchers.compile_matchers(['severity="warning"', 'pod="cart"'])(LABELS)
    assert matchers.compile_matchers([])(LABELS)


@pytest.mark.parametrize(
    "matcher",
    [
        "",
        "severity",
        "severity==critical",
        'severity="a"b"',
        'severity="a',
        "severity=a b",
        '1st="a"',
        '{severity="a"}',
        'a="b",c="d"',
        'severity=~"("',
        r'severity=~"(a)\1"',
        'severity=~"(?=a)b"',
    ],
)
def test_what_is_wrong_is_said_and_refused(matcher: str) -> None:
    """A matcher that cannot be used has a problem with an example, and no test is made of it."""
    assert str(matchers.matcher_problem(matcher)).startswith("a ")
    with pytest.raises(ValueError, match=r"a matcher such as|a regular expression that RE2 accepts"):
        matchers.compile_matchers([matcher])


def test_a_usable_matcher_has_no_problem() -> None:
    """What can be used is not complained about."""
    assert matchers.matcher_problem('severity=~"warning|critical|page"') is None


def test_no_expression_is_slow() -> None:
    """A pattern that makes a backtracking engine hang costs nothing here (T7)."""
    matches = matchers.compile_matchers(['pod=~"(a+)+b"'])
    began = time.thread_time()
    assert not matches({"pod": "a" * 20_000})
    assert time.thread_time() - began < 1


@given(st.text(max_size=40))
def test_no_text_is_too_strange(text: str) -> None:
    """Any text is a matcher or has a problem; nothing else is raised."""
    problem = matchers.matcher_problem(text)
    if not problem:
        matchers.compile_matchers([text])(LABELS)


@given(st.lists(st.from_regex(r"[a-z0-9-]{1,6}", fullmatch=True), min_size=1, max_size=4), st.text(max_size=8))
def test_a_list_of_words_is_the_same_as_the_expression(words: list[str], value: str) -> None:
    """Words joined by | are looked up, not matched, with the same outcome."""
    joined = "|".join(words)
    for found in (value, *words):
        looked_up = matchers.compile_matchers([f'a=~"{joined}"'])({"a": found})
        assert looked_up == matchers.compile_matchers([f'a=~"(?:{joined})"'])({"a": found}) == (found in words)


KNOWN = {"class": ("", "node", "network")}


@pytest.mark.parametrize(
    ("several", "label"),
    [
        (['a="b"', 'a="c"'], "a"),
        (['a="b"', 'a!="b"'], "a"),
        (['a="b"', 'a=~"c|d"'], "a"),
        (['x="1"', 'a=~"b|c"', 'a!~"[bc]"'], "a"),
        (['a=~"x.*"', 'a!~"x.*"'], "a"),
        (['a!~".*"'], "a"),
        (['a=""', 'a=~".+"'], "a"),
        (["class=nod"], "class"),
        (['class!~"n.*"', 'class!=""'], "class"),
        (['a="b"'], None),
        (['a="b"', 'c="d"'], None),
        (['a=~"b|c"', 'a!="b"'], None),
        (['a=~"x.*"', 'a=~".*y"'], None),
        (['class!="node"'], None),
        ([], None),
    ],
)
def test_what_nothing_satisfies_is_known(several: list[str], label: str | None) -> None:
    """Matchers of one label that exclude each other are told by the label; what may be satisfied is not."""
    assert matchers.contradiction(several, KNOWN) == label


_values = st.sampled_from(["", "b", "c", "bc", "d"])
_some = st.builds(
    '{}{}"{}"'.format,
    st.sampled_from(["a", "e"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "b", "c", "b|c", "b.*", ".*", ".+", "d?"]),
)


@given(st.lists(_some, max_size=4), st.fixed_dictionaries({"a": _values, "e": _values}))
def test_what_nothing_satisfies_nothing_satisfies(several: list[str], labels: dict[str, str]) -> None:
    """For any matchers: labels that satisfy them show that there are such labels."""
    if matchers.compile_matchers(several)(labels):
        assert matchers.contradiction(several, {}) is None


@given(st.lists(_some, max_size=3), st.lists(_some, max_size=3), st.fixed_dictionaries({"a": _values, "e": _values}))
def test_who_needs_less_matches_more(one: list[str], other: list[str], labels: dict[str, str]) -> None:
    """For any two lists: where the one needs no more than the other does, it matches all that the other matches."""
    if matchers.restrictions(one, {}) <= matchers.restrictions(other, {}) and matchers.compile_matchers(other)(labels):
        assert matchers.compile_matchers(one)(labels)
