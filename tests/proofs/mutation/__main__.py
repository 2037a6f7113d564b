"""``python -m tests.proofs.mutation [FILE…]``: make every mutant, run the tests on it, and tell which are alive."""

from __future__ import annotations

import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.proofs.mutation.running import all_mutants, survivors

if TYPE_CHECKING:
    from tests.proofs.mutation.mutants import Mutant

BREAKER: Final = (
    *(
        f"tests/breaker/test_{name}.py"
        for name in (
            *("guards", "row", "state_exact", "step_exact", "transitions_moments", "step", "transitions"),
            *("requests", "requests_exact"),
            *("evidence", "evidence_exact", "criticality", "outlook", "outlook_foretells"),
        )
    ),
    "tests/proofs/test_breaker_always.py",
)
PLACEMENT: Final = ("tests/breaker/test_state_exact.py", "tests/failover/test_plan.py", "tests/failover/test_claims.py")
STORE: Final = (
    "tests/stores/contract",
    *(f"tests/stores/test_{name}.py" for name in ("folding", "rows", "due", "table", "redis")),
)
TESTS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            f"fuseboard/breaker/{name}.py"
            for name in (
                *("row", "step", "absorb", "requests", "transitions", "guards", "trial", "thresholds", "state"),
                *("evidence", "weighing", "criticality"),
            )
        ),
        BREAKER,
    ),
    "fuseboard/breaker/placement.py": PLACEMENT,
    **dict.fromkeys(
        (f"fuseboard/stores/lua/{name}.lua" for name in ("prelude", "change", "put", "remove", "take_due")), STORE
    ),
    "fuseboard/stores/lua/append.lua": ("tests/stores/test_outbox.py",),
}
LISTED: Final = Path(__file__).with_name("survivors.txt")
CORES: Final = 2
PARTS: Final = 4


def listed() -> dict[str, str]:
    """Return the mutants that may live, with the reason: ``name`` and, indented below it, why no test can tell."""
    found: dict[str, str] = {}
    name = ""
    for line in LISTED.read_text().splitlines():
        if line.startswith("    "):
            found[name] = f"{found[name]} {line.strip()}".strip()
        elif line and not line.startswith("#"):
            name = line
            found[name] = ""
    return found


def _part(part: tuple[str, int]) -> tuple[str, list[Mutant]]:
    file, number = part
    return file, survivors(file, TESTS[file], all_mutants(file)[number::PARTS])


def main(files: list[str]) -> int:
    """Run; 1 where a mutant lives that is not listed, or one is listed without a reason, or needlessly."""
    known, begin, wrong = listed(), time.monotonic(), 0
    alive: dict[str, list[Mutant]] = {file: [] for file in files}
    # A fork of this process for every part: pytest and what it needs are loaded, nothing of Fuseboard is.
    with get_context("fork").Pool(CORES, maxtasksperchild=1) as pool:
        for file, found in pool.imap_unordered(_part, [(file, number) for file in files for number in range(PARTS)]):
            alive[file] += found
            unlisted = sorted((each.line, each.name) for each in found if not known.get(each.name))
            print(f"{time.monotonic() - begin:.0f} s: a part of {file}, {len(found)} alive", flush=True)
            for line, name in unlisted:
                print(f"  alive, line {line}: {name}", flush=True)
            wrong += len(unlisted)
    for file, found in alive.items():
        total = len(all_mutants(file))
        names = {each.name for each in found}
        print(f"{file}: {total - len(names)} of {total} killed ({100 * (1 - len(names) / total):.1f} %)")
        for name in sorted(name for name in known if name.startswith(f"{file} |") and name not in names):
            print(f"  listed, but killed or gone: {name}")
            wrong += 1
    print(f"{time.monotonic() - begin:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(TESTS)))
