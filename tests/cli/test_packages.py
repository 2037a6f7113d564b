"""The packages that commands take functions and sources from."""

from __future__ import annotations

from pathlib import Path

import pytest

import fuseboard
from fuseboard.cli import packages


def test_both_packages_stand_beside_fuseboard() -> None:
    """Functions and sources come from the folder that fuseboard was loaded from."""
    beside = Path(fuseboard.__file__).parent.parent

    for package in (packages.functions, packages.eventsources):
        assert Path(str(package.__file__)).parent.parent == beside


@pytest.mark.parametrize(
    ("module", "there"),
    [
        ("functions.breaker", True),
        ("eventsources.clock", True),
        ("functions.nothing", False),
        ("nothing", False),
        ("nothing.breaker", False),
    ],
)
def test_a_module_exists_or_not(module: str, there: bool) -> None:  # noqa: FBT001  - a parameter of the test
    """A module that is missing is noticed, also where its package is missing."""
    assert packages.exists(module) == there
