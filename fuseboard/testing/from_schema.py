"""Values that fit a structural schema, or nearly: what people and programs may write into a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

DURATIONS: Final = (
    "100s",
    "1m30s",
    "1h",
    "999ms",
    "1s",
    "720h",
    "43200m",
    "2592000001ms",
    "99999h99999h",
    "0s",
    "1d",
    "",
)
NAMES: Final = (*["login", "login-standby", "a", "b", "c"] * 3, "9", "-a", "a.b", "A", "", "a" * 63, "a" * 64)
MATCHERS: Final = (
    'a="b"', "a=b", "a=", 'a=~"b|c"', 'a!~"x.*"', ' a = "b" ', 'a="\\""', 'a=~"\\\\d+"', 'a=~"\\\\\\""', 'a="\n"',
    "a=~é+", 'a=~"(?i)x"', 'a=~"(?<n>x)"', 'a=~"\\pL"', 'a=~"\\\\\\\\"', 'a="=~("', 'a=~"b\\"c"', "a=b\n",
    # These are none, or have no regular expression.
    "a==b", 'a=~"("', "", "a", 'a="b', 'a=~"\\d{2,1}"', "a=~[", 'a!~"[[:foo:]]"', "a=b c", 'a=~"\\\\"', "ä=b",
    'a=~"(?!x)"', "1a=b",
    # Spaces to some.
    "a\u2003=b", "a=b\u2003", "a=\x1cb", "a=\xa0",
)  # fmt: skip
PATHS: Final = ("/", "/healthz", "healthz", "/a b", "/ä", "/\n")
_TEXTS: Final = {"duration": DURATIONS, "lower case letters": NAMES, "matcher": MATCHERS, "path": PATHS}


def like(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values like those that a schema describes; some do not fit."""
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], "other"])
    return _KINDS[schema["type"]](schema)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    members = schema.get("properties")
    if members is None:
        return st.dictionaries(
            st.sampled_from(["a", "warning", "B c"]), like(schema["additionalProperties"]) | st.none(), max_size=2
        )
    needed = {name: like(member) for name, member in members.items() if name in schema.get("required", ())}
    free = {name: like(member) | st.none() for name, member in members.items() if name not in needed}
    # Few at a time: what is wrong with one must not hide that another was accepted.
    return st.sampled_from([(), *((name,) for name in free), *zip(free, list(free)[1:], strict=False)]).flatmap(
        lambda chosen: st.fixed_dictionaries({**needed, **{name: free[name] for name in chosen}})
    )


def _arrays(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.lists(like(schema["items"]) | st.none(), max_size=3)


def _strings(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    text = str(schema)
    known = next((values for word, values in _TEXTS.items() if word in text), ("", "up", "x" * 3000))
    return st.sampled_from(known)


def _numbers(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", 0), schema.get("maximum", 10**12)
    edges = {low - 1, low, low + 1, 3, 50, 100, high, high + 1}
    return st.sampled_from([*sorted(edges), 1.0, 2.5])


def _booleans(_: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.booleans()


_KINDS: Final[dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]]] = {
    "object": _objects,
    "array": _arrays,
    "string": _strings,
    "integer": _numbers,
    "number": _numbers,
    "boolean": _booleans,
}
