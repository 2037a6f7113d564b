"""``fuseboard check`` and ``fuseboard schema``, as people and CI run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from fuseboard.crd import definition as crd
from tests.cli import program
from tests.cli.running import POLICY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from subprocess import CompletedProcess

ROOT: Final = Path(__file__).parents[3]
FINE: Final = {**POLICY, "spec": {**POLICY["spec"], "recover": {}}}
SHORT: Final = {**POLICY, "spec": {**POLICY["spec"], "recover": {"coolDown": "5s"}}}
WRONG: Final = {**POLICY, "spec": {**POLICY["spec"], "mode": "none"}}


def run(*arguments: str, given: str = "", cwd: Path = ROOT) -> CompletedProcess[str]:
    """Run the program to its end."""
    return program.run(*arguments, folder=cwd, given=given)


def write(path: Path, documents: Iterable[dict[str, Any]]) -> None:
    """Write documents into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n---\n".join(json.dumps(each) for each in documents), encoding="utf-8")


@pytest.mark.parametrize(
    ("document", "options", "code", "says"),
    [
        (FINE, (), 0, "1 breakers checked: 0 errors, 0 warnings\n"),
        (FINE, ("--strict",), 0, "0 errors, 0 warnings"),
        (SHORT, (), 0, "f.yaml: shop/login: warning: recover.coolDown is 5s"),
        (SHORT, ("--strict",), 1, "0 errors, 1 warnings"),
        (WRONG, (), 1, "f.yaml: shop/login: error: spec.mode is 'none'"),
        (WRONG, ("--strict",), 1, "1 errors, 0 warnings"),
    ],
)
def test_the_exit_code_is_for_ci(
    tmp_path: Path, document: dict[str, Any], options: tuple[str, ...], code: int, says: str
) -> None:
    """0 without errors, 1 with errors; with --strict 1 with warnings, too."""
    write(tmp_path / "f.yaml", [document])

    found = run("check", *options, "f.yaml", cwd=tmp_path)

    assert (found.returncode, found.stderr) == (code, "")
    assert says in found.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("nowhere",), "does not exist"),
        (("other.yaml",), "no CircuitBreaker document found; documents of other kinds: 1"),
        (("-o", "xml", "other.yaml"), "not one of"),
    ],
)
def test_wrong_usage_is_two(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """A call without a breaker to check is a mistake, not a valid table."""
    write(tmp_path / "other.yaml", [{"kind": "Service"}])

    found = run("check", *arguments, cwd=tmp_path)

    assert found.returncode == 2
    assert says in found.stderr
    assert "Traceback" not in found.stderr


def test_a_folder_is_read_to_its_ends(tmp_path: Path) -> None:
    """Files of both endings are read at any depth; hidden folders, other endings and binary files are skipped."""
    write(tmp_path / "a" / "b" / "one.yaml", [WRONG, {"kind": "Service"}])
    write(tmp_path / "two.yml", [SHORT])
    write(tmp_path / ".git" / "three.yaml", [WRONG])
    write(tmp_path / "four.json", [WRONG])
    (tmp_path / "five.yaml").write_bytes(b"\xff\xfe\x00binary")

    found = run("check", ".", cwd=tmp_path)

    assert [line.partition(" ")[0] for line in found.stdout.splitlines()[:-1]] == ["two.yml:", "a/b/one.yaml:"]
    assert found.stdout.splitlines()[-1].endswith("2 documents of other kinds skipped")
    assert found.returncode == 1


def test_a_breaker_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    """A breaker with bytes that are not UTF-8 is an error without a traceback."""
    (tmp_path / "f.yaml").write_bytes(b"kind: CircuitBreaker\nmetadata: {name: \xe4}\n")

    found = run("check", "f.yaml", cwd=tmp_path)

    assert (found.returncode, found.stderr) == (1, "")
    assert "[unreadable]" in found.stdout


def test_programs_read_json(tmp_path: Path) -> None:
    """All findings, and the counts, in one object."""
    write(tmp_path / "f.yaml", [WRONG, SHORT, {"kind": "Service"}])

    found = json.loads(run("check", "-o", "json", "f.yaml", cwd=tmp_path).stdout)

    assert {key: found[key] for key in ("checked", "skipped", "errors", "warnings")} == {
        "checked": 2, "skipped": 1, "errors": 1, "warnings": 1,
    }  # fmt: skip
    assert found["findings"][0] == {
        "file": "f.yaml",
        "breaker": "shop/login",
        "severity": "error",
        "code": "invalid",
        "text": "spec.mode is 'none': expected one of Observe, Enforce, ForcedOpen, Disabled",
    }


def test_the_examples_are_in_order() -> None:
    """The examples have no errors."""
    found = run("check", "examples")

    assert (found.returncode, found.stderr) == (0, "")
    assert " 0 errors, " in found.stdout


def test_what_is_rendered_is_read_from_stdin() -> None:
    """A pipe from kustomize or Helm is checked like a file."""
    found = run("check", "-", given=json.dumps(WRONG))

    assert found.returncode == 1
    assert found.stdout.startswith("-: shop/login: error: ")


def test_the_schema_is_the_manifest() -> None:
    """``fuseboard schema`` prints the file of knative/base, to the byte."""
    found = run("schema")

    assert found.returncode == 0
    assert found.stdout == (ROOT / crd.FILE).read_text(encoding="utf-8")
