"""The mutants of the store's Lua scripts: one small change of the text each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.proofs.mutation.mutants import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES: Final = (
    (r"~=", ("==",)),
    (r"(?<![~<>=])==(?!=)", ("~=",)),
    (r"(?<![-<>])>(?!=)", (">=", "<")),
    (r"(?<![-<>])<(?!=)", ("<=", ">")),
    (r"\bor\b", ("and",)),
    (r"\band\b", ("or",)),
    (r" \+ ", (" - ",)),
    (r" - (?=\w)", (" + ",)),
    (r" \* ", (" + ",)),
    (r" \^ ", (" * ",)),
    (r"\bmath\.min\b", ("math.max",)),
    (r"\bmath\.abs\b", ("",)),
    (r"(?<=ARGV\[)\d", ("+1", "-1")),
    (r"(?<=KEYS\[)\d", ("+1", "-1")),
    (r"(?<=[ ,(])\d+(?=[ ,)}\n])", ("+1",)),
    (r"'~', ", ("",)),
    (r"'-inf'", ("'(0'",)),
)


def mutants(file: str, source: str) -> list[Mutant]:
    """Return the mutants of a script, each with a name of its own."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}
    for number, (line, change, _) in enumerate(_changes(source)):
        seen[change] = seen.get(change, 0) + 1
        again = f" #{seen[change]}" if seen[change] > 1 else ""
        found.append(Mutant(file, "script", line, change + again, number))
    return found


def text(source: str, mutant: Mutant) -> str:
    """Return the script with the change made."""
    for number, (_, _, changed) in enumerate(_changes(source)):
        if number == mutant.number:
            return changed
    raise ValueError(mutant.name)


def _changes(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield the changes of a script: the line's number, the change in words, and the script after the change."""
    lines = source.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if not line.lstrip().startswith("--"):
            for change, changed in _of(line):
                yield index + 1, change, "".join((*lines[:index], changed, *lines[index + 1 :]))


def _of(line: str) -> Iterator[tuple[str, str]]:
    """Yield the changes of a line: in words, and the line after."""
    for pattern, others in CHANGES:
        for hit in re.finditer(pattern, line):
            for other in others:
                after = str(int(hit[0]) + int(other)) if other in ("+1", "-1") else other
                changed = line[: hit.start()] + after + line[hit.end() :]
                yield f"{line.strip()} → {changed.strip()}", changed
    call = re.match(r"\s*redis\.call\(.*\)\n$", line)
    if call:
        yield f"{line.strip()} → ∅", "\n"
    guard = re.match(r"(\s*)if (.*) then( .*)?\n$", line)
    if guard:
        for value in ("true", "false"):
            yield f"if {guard[2]} → if {value}", f"{guard[1]}if {value} then{guard[3] or ''}\n"
