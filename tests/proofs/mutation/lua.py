"""The mutants of the store's scripts: one small change of the text each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.proofs.mutation.mutants import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT: Final = re.compile(r'^(?P<name>_?[A-Z_]+): Final = f?"""\n(?P<text>.*?)^"""', re.DOTALL | re.MULTILINE)
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
    """Return the mutants of all scripts in a module."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}
    for number, (where, line, change, _) in enumerate(_changes(source)):
        seen[change] = seen.get(change, 0) + 1
        again = f" #{seen[change]}" if seen[change] > 1 else ""
        found.append(Mutant(file, where, line, change + again, number))
    return found


def text(source: str, mutant: Mutant) -> str:
    """Return the module with the change made."""
    for number, (_, _, _, changed) in enumerate(_changes(source)):
        if number == mutant.number:
            return changed
    raise ValueError(mutant.name)


def _changes(source: str) -> Iterator[tuple[str, int, str, str]]:
    for script in SCRIPT.finditer(source):
        start = script.start("text")
        for line in script["text"].splitlines(keepends=True):
            for told, changed in _of(line):
                number = source.count("\n", 0, start) + 1
                yield script["name"], number, told, source[:start] + changed + source[start + len(line) :]
            start += len(line)


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
