"""The kit's public names: users' tests import them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import fuseboard.testing

NAMES: Final = {
    "api_script": "Answer ApiScript Asked EVENTS OTHERS WITHIN_S change error in_thread listed refusal streamed until",
    "api_server": (
        "FakeApiServer PODS SERVICE answers applies_late connect is_slow kubeconfig meddles passes waits_for"
    ),
    "http_server": "LOOPBACK Listening ReceivedRequest answering listening",
    "memory": "MemoryCheckpoints MemoryDueEntries MemoryStore next_attempt opened",
    "memory_cluster": "MemoryCluster STAMP",
    "objects": (
        "MADE Manifest SPEC circuit_breaker condition container deployment end pod stamp starting stateful_set workload"
    ),
    "outbox": "MemoryOutbox MemorySink",
    "panel": "HOUR MINUTE Panel START alert limited on_trial opened row_of",
    "policies": "document movable policy",
    "ports": "free_port",
    "strategies": (
        "DURATIONS MATCHERS NAMES PATHS SEVERITIES SPECS capacities conditions failures names "
        "occurrences reasons requests signals values_like"
    ),
}
"""Public names by module. A name is removed with a line in the changelog, and never renamed by the way."""

FOLDER: Final = Path(fuseboard.testing.__path__[0])


def defined(path: Path) -> set[str]:
    """Return the public names that a module defines."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_every_module_is_listed() -> None:
    """A new module of the kit is public too, and is described in the package's docstring."""
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert modules == NAMES.keys()
    assert [module for module in sorted(modules) if f"``{module}``" not in (fuseboard.testing.__doc__ or "")] == []


@pytest.mark.parametrize("module", NAMES)
def test_the_public_names_are_these(module: str) -> None:
    """Tests of others keep working after an upgrade."""
    assert defined(FOLDER / f"{module}.py") == set(NAMES[module].split())
