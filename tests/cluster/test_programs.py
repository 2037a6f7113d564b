"""The cache of programs, on a module that builds in a moment."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.programs import BuildFailedError, Installed, install
from tests.cluster.rows import ROWS, Edit, Row

GREETER = Row(name="greeter", module="test/greeter", programs=("greeter",))


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Return a folder with the module of a program that greets."""
    module = tmp_path / "modules" / "greeter"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module test/greeter\n\ngo 1.26.0\n\ntool test/greeter\n")
    (module / "go.sum").touch()
    (module / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    return module.parent


def greet(installed: dict[str, Installed]) -> str:
    """Run the program."""
    program = installed["greeter"].program("greeter")
    return subprocess.run([program], capture_output=True, text=True, check=True).stderr


def test_a_second_run_builds_nothing(modules: Path, tmp_path: Path) -> None:
    """What is in the cache is used as it is."""
    first: list[str] = []
    again: list[str] = []
    assert greet(install([GREETER], tmp_path / "cache", first.append, modules)) == "hello\n"
    assert greet(install([GREETER], tmp_path / "cache", again.append, modules)) == "hello\n"
    assert first[0] == "greeter: building greeter"
    assert again == []


def test_two_runs_at_once_build_once(modules: Path, tmp_path: Path) -> None:
    """Of two runs at the same time one builds, the other waits for it."""
    lines: list[str] = []

    def run(_: int) -> str:
        return greet(install([GREETER], tmp_path / "cache", lines.append, modules))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == ["hello\n"] * 2
    assert lines.count("greeter: building greeter") == 1


def test_other_pins_are_another_program(modules: Path, tmp_path: Path) -> None:
    """A change of go.mod leads to a build of its own; the old one stays."""
    before = install([GREETER], tmp_path / "cache", print, modules)["greeter"]
    with (modules / "greeter" / "go.mod").open("a") as pins:
        pins.write("\n// Another comment, another fingerprint.\n")
    after = install([GREETER], tmp_path / "cache", print, modules)["greeter"]
    assert before.home != after.home
    assert before.program("greeter").exists()


def test_a_failed_build_quotes_go_and_leaves_nothing(modules: Path, tmp_path: Path) -> None:
    """The error holds what Go said; the next run starts anew."""
    (modules / "greeter" / "main.go").write_text("package main\n\nfunc main() { hum() }\n")
    with pytest.raises(BuildFailedError, match=r"(?s)undefined: hum.*Fix: "):
        install([GREETER], tmp_path / "cache", print, modules)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["greeter.lock"]


def test_a_program_without_a_tool_line_is_missed(modules: Path, tmp_path: Path) -> None:
    """A row that expects more than its go.mod builds is an error at once, not at the start."""
    row = Row(name="greeter", module="test/greeter", programs=("greeter", "waver"))
    with pytest.raises(BuildFailedError, match="no `tool` line for waver"):
        install([row], tmp_path / "cache", print, modules)


def test_an_edit_must_fit(modules: Path, tmp_path: Path) -> None:
    """An edit whose text a new version has no longer is an error, not a program without it."""
    row = Row("greeter", "test/greeter", ("greeter",), edits=(Edit("old.go", "farewell", "bye"),))
    with pytest.raises(BuildFailedError, match="change rows: farewell"):
        install([row], tmp_path / "cache", print, modules)


def test_every_row_is_pinned() -> None:
    """Each row has the go.mod and the go.sum that pin what is built, and no two share a name."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        module = Path(__file__).parent / "go" / row.name
        assert f"{row.module} v" in (module / "go.mod").read_text()
        assert f"{row.module} v" in (module / "go.sum").read_text()
