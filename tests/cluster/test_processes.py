"""Starting, waiting for and ending processes, on ones that do little."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import orphans
from tests.cluster.processes import NotReadyError, Processes, free_port

ROOT = Path(__file__).parents[2]
IDLE = [sys.executable, "-c", "import signal; print('idle', flush=True); signal.pause()"]
DEAF = ["/bin/sh", "-c", "trap '' TERM; echo deaf; exec sleep 600"]  # ignored across exec


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Return a run without processes."""
    with Processes(tmp_path) as running:
        yield running


def wait_for_log(processes: Processes, name: str, text: str) -> None:
    """Return when a process has written something."""
    log = processes[name].log
    processes.wait(f"{name} wrote {text}", lambda: text in log.read_text(), timeout_s=20)


def test_the_end_leaves_no_process(tmp_path: Path) -> None:
    """Leaving the run ends its processes, also one that ignores SIGTERM, and its watchman."""
    with Processes(tmp_path) as processes:
        for name, command in {"idle": IDLE, "deaf": DEAF}.items():
            processes.start(name, command)
            wait_for_log(processes, name, name)
        groups = processes.groups
        assert orphans.living(groups) == set(groups)
    assert orphans.living(groups) == set()


def test_a_killed_starter_leaves_no_process(tmp_path: Path) -> None:
    """When the starter is killed, what it started ends as well."""
    script = (
        "import sys, signal; from pathlib import Path; from tests.cluster.processes import *\n"
        f"run = Processes(Path({str(tmp_path)!r})); run.start('idle', {IDLE!r})\n"
        "print(*run.groups, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        groups = [int(group) for group in starter.stdout.readline().split()]
        assert orphans.living(groups) == set(groups)
        starter.kill()
    deadline = time.monotonic() + 20
    while orphans.living(groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert orphans.living(groups) == set()


def test_a_process_that_ends_early_is_named_with_its_last_words(processes: Processes) -> None:
    """A wait is given up at once when a process ended, and quotes its log."""
    processes.start("brief", ["/bin/sh", "-c", "echo out of luck; exit 3"])
    with pytest.raises(NotReadyError, match=r"(?s)brief ended with status 3.*out of luck"):
        processes.wait("luck", lambda: False, timeout_s=20)


def test_a_wait_that_takes_too_long_quotes_the_log(processes: Processes) -> None:
    """A wait that runs out of time says for what and how long, and quotes the log."""
    processes.start("idle", IDLE)
    wait_for_log(processes, "idle", "idle")
    with pytest.raises(NotReadyError, match=r"(?s)not within 0 s: a wonder; the end of .*idle"):
        processes.wait("a wonder", lambda: False, timeout_s=0, log_of="idle")


def test_a_restart_keeps_the_command_and_the_log(processes: Processes) -> None:
    """A restarted process is another one with the same command; its log goes on."""
    before = processes.start("idle", IDLE)
    wait_for_log(processes, "idle", "idle")
    after = processes.restart("idle")
    wait_for_log(processes, "idle", "idle\nidle")
    assert (after.command, after.environment) == (before.command, before.environment)
    assert orphans.living([before.group]) == set()


def test_a_process_sees_no_settings_of_the_developer(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the starter, such as its proxies, are not handed on."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    processes.start("env", ["/bin/sh", "-c", "env; echo done; exec sleep 600"], {"A": "1"})
    wait_for_log(processes, "env", "done")
    names = {line.partition("=")[0] for line in processes["env"].log.read_text().splitlines()}
    assert {"A", "HOME", "TMPDIR"} <= names
    assert "HTTPS_PROXY" not in names


def test_no_port_is_given_twice() -> None:
    """Ports that were handed out and not used yet are not handed out again."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
