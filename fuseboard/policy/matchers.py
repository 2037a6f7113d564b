r"""Alertmanager's matchers: ``severity=~"warning|critical"``.

Operators, escapes and anchoring are those of Alertmanager (``pkg/labels/parse.go``): ``=``, ``!=``, ``=~``, ``!~``; a
missing label is the empty string; ``\"``, ``\n`` and ``\\`` are escapes and any other backslash stands for itself; a
regular expression is RE2 and matches the whole value. RE2 has no backtracking, so no policy can make an ingest slow.
Stricter than there: a value without quotes has no spaces and does not begin with a sign, as in ``severity==page``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

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
    """Return a test whether labels satisfy all of the matchers.

    Raises:
        ValueError: one is no matcher; the message is what was expected instead.

    """
    tests = [_compiled(matcher) for matcher in matchers]
    return lambda labels: all(test(labels.get(name, "")) for name, test in tests)


def contradiction(matchers: Sequence[str], known: Mapping[str, Collection[str]]) -> str:
    """Return a label of which no value satisfies all of the matchers, as far as that can be told; else nothing.

    ``known`` has all values of some labels; of others the matchers themselves name those that can be.
    """
    parts = [_parts(matcher) for matcher in matchers]
    for label in dict.fromkeys(each.label for each in parts):
        values = known.get(label, _named(each for each in parts if each.label == label))
        tests = [test for name, test in map(_compiled, matchers) if name == label]
        if values is not None and not any(all(test(value) for test in tests) for value in values):
            return label
    return ""


def restrictions(matchers: Sequence[str], known: Mapping[str, Collection[str]]) -> frozenset[tuple[str, str, str]]:
    """Return the matchers that do not hold for all values: label, operator and value of each."""
    return frozenset(each for matcher in matchers if not _holds(each := _parts(matcher), matcher, known))


def label_of(matcher: str) -> str:
    """Return the label that a matcher asks for."""
    return _parts(matcher).label


def problem(matcher: str) -> str:
    """Return what was expected instead of this matcher; empty when it is fine."""
    try:
        _compiled(matcher)
    except ValueError as error:
        return str(error)
    return ""


def _named(parts: Iterable[_Parts]) -> Collection[str] | None:
    """Return the values that one of a label's matchers names, if one does: no other can satisfy them all."""
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
        return name, lambda found: (found == value) is wanted
    if _LITERALS.fullmatch(value):
        choices = frozenset(value.split("|"))
        return name, lambda found: (found in choices) is wanted
    return name, _regular_expression(value, wanted=wanted)


def _regular_expression(expression: str, *, wanted: bool) -> Test:
    import re2  # noqa: PLC0415  - only who uses more than a list of words pays for it

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        message = f"a regular expression that RE2 accepts ({error.args[0].decode(errors='replace')})"
        raise ValueError(message) from error
    return lambda found: (compiled.fullmatch(found) is not None) is wanted
