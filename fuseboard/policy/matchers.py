r"""Alertmanager's matchers: ``severity=~"warning|critical"``.

Operators, escapes and anchoring are those of Alertmanager (``pkg/labels/parse.go``): ``=``, ``!=``, ``=~``, ``!~``; a
missing label equals the empty string; ``\"``, ``\n`` and ``\\`` are escapes, and another backslash is literal; a
regular expression is RE2 and matches the whole value. RE2 does not backtrack, and no policy can slow an ingest down.
The syntax is stricter in a detail: a value without quotes has no spaces and does not begin with an operator, as in
``severity==page``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from fuseboard.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    Test = Callable[[str], bool]

_MATCHER: Final = re.compile(
    r"""\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"=~][^\s"]*)?)\s*""", re.DOTALL
)
_ESCAPE: Final = re.compile(r'\\([n"\\])')
_UNESCAPED: Final = {"n": "\n", '"': '"', "\\": "\\"}
_LITERALS: Final = re.compile(r"[\w-]+(?:\|[\w-]+)*", re.ASCII)

_ANYTHING: Final = ".*"


class _Parts(NamedTuple):
    label: str
    operator: str
    value: str


def compile_matchers(matchers: Sequence[str]) -> Callable[[Mapping[str, str]], bool]:
    """Return a test whether labels satisfy all matchers.

    Raises:
        ValueError: a matcher is malformed; the message describes a correct matcher.

    """
    tests = [_compiled(matcher) for matcher in matchers]
    return lambda labels: all(test(labels.get(name, "")) for name, test in tests)


def contradiction(matchers: Sequence[str], known: Mapping[str, Collection[str]]) -> str | None:
    """Return a label for which no value satisfies all matchers; None if there is none, or none can be found.

    ``known`` has all possible values of some labels. For any other label, the values named by the matchers are tried.
    """
    parts = [_parts(matcher) for matcher in matchers]
    for label in dict.fromkeys(each.label for each in parts):
        values = known.get(label, _named(each for each in parts if each.label == label))
        tests = [test for name, test in map(_compiled, matchers) if name == label]
        if values is not None and not any(all(test(value) for test in tests) for value in values):
            return label
    return None


def restrictions(matchers: Sequence[str], known: Mapping[str, Collection[str]]) -> frozenset[tuple[str, str, str]]:
    """Return label, operator and value of each matcher, without the matchers that every value satisfies."""
    return frozenset(each for matcher in matchers if not _holds(each := _parts(matcher), matcher, known))


def label_of(matcher: str) -> str:
    """Return the label of a matcher."""
    return _parts(matcher).label


def matcher_problem(matcher: str) -> Problem | None:
    """Return a description of a correct matcher if this matcher is malformed."""
    try:
        _compiled(matcher)
    except ValueError as error:
        return Problem(str(error))
    return None


def _named(parts: Iterable[_Parts]) -> Collection[str] | None:
    """Return the values that a matcher of a label names; None if no matcher limits the values to a list."""
    opposites = {(each.operator, each.value) for each in parts}
    for operator, value in opposites:
        if operator == "=":
            return {value}
        if operator == "=~" and _LITERALS.fullmatch(value):
            return value.split("|")
        if operator == "!~" and (value == _ANYTHING or ("=~", value) in opposites):
            return ()
    return None


def _holds(parts: _Parts, matcher: str, known: Mapping[str, Collection[str]]) -> bool:
    if parts.label in known:
        test = _compiled(matcher)[1]
        return all(test(value) for value in known[parts.label])
    return parts.operator == "=~" and parts.value == _ANYTHING


def _parts(matcher: str) -> _Parts:
    parts = _MATCHER.fullmatch(matcher)
    if parts is None:
        raise ValueError("""a matcher such as severity="critical" or severity=~"warning|critical\"""")
    name, operator, quoted, bare = parts.groups()
    value = _ESCAPE.sub(lambda escape: _UNESCAPED[escape[1]], (bare or "") if quoted is None else quoted)
    return _Parts(name, operator, value)


@lru_cache(maxsize=1024)
def _compiled(matcher: str) -> tuple[str, Test]:
    name, operator, value = _parts(matcher)
    wanted = operator in ("=", "=~")
    if operator in ("=", "!="):
        return name, lambda text: (text == value) is wanted
    if _LITERALS.fullmatch(value):
        choices = frozenset(value.split("|"))
        return name, lambda text: (text in choices) is wanted
    return name, _regular_expression(value, wanted=wanted)


def _regular_expression(expression: str, *, wanted: bool) -> Test:
    import re2  # noqa: PLC0415  - imported only for expressions beyond a list of words

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        message = f"a regular expression that RE2 accepts ({error.args[0].decode(errors='replace')})"
        raise ValueError(message) from error
    return lambda text: (compiled.fullmatch(text) is not None) is wanted
