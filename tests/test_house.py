"""The floor plan holds: imports go down only, the tests mirror the code, and no file grows too large."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
PRODUCT: Final = ("fuseboard", "functions", "eventsources")
LONGEST_FILE: Final = 350
LONGEST_FUNCTION: Final = 40
MOST_MODULES: Final = 14

PLANTED: Final = {
    "fuseboard/policy/lint.py": ("import redis", "fuseboard.policy.lint -> redis"),
    "eventsources/clock.py": ("import kubernetes", "eventsources.clock -> kubernetes"),
    "functions/journal.py": ("import flask", "functions.journal -> flask"),
    "functions/deadletter.py": ("import functions.breaker", "functions.deadletter -> functions.breaker"),
    "eventsources/prometheus.py": (
        "import eventsources.alertmanager",
        "eventsources.prometheus -> eventsources.alertmanager",
    ),
    "functions/status.py": ("import fuseboard.failover", "functions.status -> fuseboard.failover"),
    "fuseboard/events/types.py": ("import fuseboard.breaker", "fuseboard.events.types -> fuseboard.breaker"),
    "fuseboard/settings.py": ("import fuseboard.logs", "fuseboard.settings -> fuseboard.logs"),
    "fuseboard/text.py": ("import fuseboard.testing", "fuseboard.text -> fuseboard.testing"),
    "fuseboard/unplaced.py": ("", "fuseboard.unplaced"),
}
"""What breaks the contract: a line that is added to a module, and how the linter names it."""

ELSEWHERE: Final = {
    "fuseboard.cluster": "tests/cluster_client",  # tests/cluster is the suite on a real cluster
}
"""Packages whose tests stand in a folder of another name."""

OVER_THE_WHOLE: Final = ("cluster", "real", "manifests", "proofs", "testing")
"""Folders of tests that are about no single module; ``stores/contract`` is another: it tests every store."""


def modules() -> Iterator[Path]:
    """Yield the files of the product."""
    for package in PRODUCT:
        yield from sorted((ROOT / package).rglob("*.py"))


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of a copy."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "500"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the product and its contracts."""
    for package in PRODUCT:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(copy: Path) -> None:
    """Every module has a floor, and imports only from the floors below."""
    checked = lint(copy)
    assert checked.returncode == 0, checked.stdout
    assert " 0 broken" in checked.stdout


def test_what_breaks_a_contract_is_named(copy: Path) -> None:
    """A third party, a neighbour, a floor above, the test kit and a module without a floor are refused."""
    for name, (line, _) in PLANTED.items():
        with (copy / name).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    checked = lint(copy)
    assert checked.returncode == 1
    missed = [named for _, named in PLANTED.values() if named not in checked.stdout]
    assert not missed, checked.stdout


def test_no_file_is_too_long() -> None:
    """A file that grows beyond a few screens has two purposes: split it."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    """A function fits on one screen."""
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


def test_no_package_is_too_large() -> None:
    """A folder is read at a glance."""
    counted: dict[str, int] = {}
    for path in modules():
        if path.name != "__init__.py":
            folder = str(path.parent.relative_to(ROOT))
            counted[folder] = counted.get(folder, 0) + 1
    assert {folder: count for folder, count in counted.items() if count > MOST_MODULES} == {}


def test_class_names_are_unique() -> None:
    """One name has one meaning: a class is found by its name alone."""
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_the_tests_mirror_the_code() -> None:
    """``tests/<package>/test_<module>.py``, or ``test_<module>_<aspect>.py``, tests a module that exists."""
    strays = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.parent.relative_to(ROOT / "tests")
        if not folder.parts or folder.parts[0] in OVER_THE_WHOLE or folder == Path("stores", "contract"):
            continue
        if not any(path.stem == f"test_{name}" or path.stem.startswith(f"test_{name}_") for name in names(folder)):
            strays.append(str(path.relative_to(ROOT)))
    assert strays == []


def names(folder: Path) -> list[str]:
    """Return the modules that are tested in a folder of the tests."""
    moved = {where.removeprefix("tests/"): package for package, where in ELSEWHERE.items()}
    package = Path(*moved.get(str(folder), str(folder)).split("."))
    place = ROOT / package if package.parts[0] in PRODUCT else ROOT / "fuseboard" / package
    found = [path.stem for path in place.glob("*.py") if path.name != "__init__.py"]
    return [*found, *(path.name for path in place.iterdir() if path.is_dir()), place.name]


def test_no_test_is_a_library() -> None:
    """What tests share stands in ``fuseboard.testing`` or beside them, never in a module of tests."""
    borrowed = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2].startswith("test_")
    ]
    assert borrowed == []
