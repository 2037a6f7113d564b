"""Alertmanager's matchers: ``severity=~"warning|critical"``.

Operators and anchoring are those of Alertmanager (docs/configuration.md, "matcher"): ``=``, ``!=``, ``=~``, ``!~``; a
missing label is the empty string; a regular expression is RE2 and matches the whole value. RE2 has no backtracking, so no
policy can make an ingest slow.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MATCHER: Final = re.compile(r'^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"=~][^\s"]*)?)\s*$')
_ESCAPE: Final = re.compile(r"\\(.)")


def matches(matcher: str, labels: Mapping[str, str]) -> bool:
    """Say whether the labels satisfy the matcher."""
    name, test = _compiled(matcher)
    return test(labels.get(name, ""))


def problem(matcher: str) -> str:
    """Return what was expected instead of this matcher; empty when it is fine."""
    try:
        _compiled(matcher)
    except ValueError as error:
        return str(error)
    return ""


@lru_cache(maxsize=1024)
def _compiled(matcher: str) -> tuple[str, Callable[[str], bool]]:
    parts = _MATCHER.match(matcher)
    if parts is None:
        message = """a matcher such as severity="critical" or severity=~"warning|critical" """
        raise ValueError(message.strip())
    name, operator, quoted, bare = parts.groups()
    value = (bare or "") if quoted is None else _ESCAPE.sub(r"\1", quoted)
    if operator in ("=", "!="):
        wanted = operator == "="
        return name, lambda found: (found == value) is wanted
    return name, _regular_expression(value, wanted=operator == "=~")


def _regular_expression(expression: str, *, wanted: bool) -> Callable[[str], bool]:
    import re2  # noqa: PLC0415  - only who uses =~ pays for it

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        message = f"a regular expression that RE2 accepts ({error.args[0].decode(errors='replace')})"
        raise ValueError(message) from error
    return lambda found: (compiled.fullmatch(found) is not None) is wanted
