"""The files around the code agree with one another: Makefile, hooks, locks and forms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parent.parent
MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")
FORMS: Final = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def recipe(target: str) -> list[str]:
    """Return the commands of a make target."""
    found = re.search(rf"^{target}:.*\n((?:\t.+\n)+)", MAKEFILE, re.MULTILINE)
    assert found is not None, target
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def document(path: Path) -> Any:  # noqa: ANN401  - YAML
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", text, re.MULTILINE))


def test_every_target_of_make_is_in_its_help_and_is_no_file() -> None:
    """A target has a ``##`` comment for ``make help``, and stands in .PHONY."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    helped = set(re.findall(r"^([a-z][a-z-]*):.*## \S", MAKEFILE, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert phony is not None
    assert targets == helped == set(phony[1].split())


def test_the_hooks_are_the_checks_of_make() -> None:
    """Before a commit, pre-commit runs the commands of ``make check`` and ``make words``, and no others."""
    (local,) = document(ROOT / ".pre-commit-config.yaml")["repos"]

    assert {hook["entry"] for hook in local["hooks"]} == {*recipe("check"), *recipe("words")}


def test_both_locks_have_the_same_versions() -> None:
    """Tests run with the versions that the image has."""
    runs, develops = pins("requirements.lock"), pins("requirements-dev.lock")

    assert runs
    assert runs.items() <= develops.items()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_can_be_shown(path: Path) -> None:
    """GitHub hides a form without a name, a description or a body, and one in which two fields have one id."""
    form = document(path)
    if path.stem == "config":
        assert all({"name", "url", "about"} == set(link) for link in form["contact_links"])
        return
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]

    assert {"name", "description", "body"} <= set(form)
    assert len(ids) == len(set(ids)) > 0
    assert all(field["attributes"].get("label") for field in form["body"] if field["type"] != "markdown")
