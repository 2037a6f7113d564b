"""Strict JSON: no NaN, no duplicate keys, no lone surrogates, no deep nesting."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fuseboard.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH: Final = 64

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

_INTEGERS: Final = range(-(2**63), 2**64)
"""Integers of 64 bits: the encoder cannot write longer integers."""


def decode_json(body: bytes, depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401  - JSON is any value until it has a type
    """Read JSON strictly.

    Raises:
        InvalidInput: not UTF-8, not JSON, NaN or Infinity, a duplicate key, a lone surrogate, nesting deeper than
            ``depth``, or an integer longer than 64 bits.

    """
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite, parse_int=_integer
        )
    except RecursionError as error:
        raise InvalidInput("the JSON is nested too deep") from error
    except ValueError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if body.count(b"[") + body.count(b"{") > depth:
        _refuse_depth(value, depth)
    if _SURROGATE.search(body):
        _refuse_surrogates(value)
    return value


def encode_data(data: object) -> bytes:
    """Return data as compact JSON."""
    return msgspec.json.encode(data)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        doubled, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        message = f"the key {doubled[:64]!r} appears twice in an object"
        raise ValueError(message)
    return members


def _no_number(name: str) -> None:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _no_number(text[:64])
    return number


def _integer(text: str) -> int:
    if len(text) > len(str(_INTEGERS.start)) or int(text) not in _INTEGERS:
        message = f"an integer of {len(text)} digits does not fit into 64 bits"
        raise ValueError(message)
    return int(text)


def _refuse_depth(value: object, depth: int) -> None:
    level = [value]
    for _ in range(depth):
        level = [each for parent in level for each in _children(parent) if isinstance(each, dict | list)]
    if level:
        raise InvalidInput(f"the JSON is nested too deep: expected at most {depth} levels")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the JSON has half of a surrogate pair, which is not a character") from error
