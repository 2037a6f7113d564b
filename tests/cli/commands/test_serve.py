"""Each module in a process of its own, as in a cluster: gunicorn, a store, and a sink by its address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import pytest
import urllib3

from fuseboard.events.types import DATA_TYPES, FailureDetected, TimerElapsed
from fuseboard.events.wire import STRUCTURED, decode, encode
from fuseboard.policy.files import load_table
from fuseboard.stores.redis import open_store
from fuseboard.testing.ports import free_port
from tests.cli import decoy
from tests.cli.program import FUSEBOARD
from tests.cli.running import alert, failure_event, notification
from tests.paths import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from fuseboard.events.event import Event
    from tests.delivery.ingress import Ingress


PROGRAM: Final = (str(FUSEBOARD),)
MODULE: Final = (sys.executable, "-m", "fuseboard.cli")


WITHIN_S = 60.0
"""A machine that is busy with other tests makes this slow: that is no finding."""


@contextmanager
def serving(
    module: str, environment: Mapping[str, str], program: tuple[str, ...] = PROGRAM, folder: Path | None = None
) -> Iterator[Callable[[], str]]:
    """Run ``fuseboard serve`` in a folder until the block ends; yield a function that waits for its address."""
    port = free_port()
    process = subprocess.Popen(  # noqa: S603  - the program under test
        [*program, "serve", module, "--port", str(port)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield lambda: _ready(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def _ready(url: str, process: subprocess.Popen[bytes]) -> str:
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up:
        assert process.poll() is None
        try:
            if urllib3.request("GET", f"{url}/readyz", retries=False).status == 200:
                return url
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{url} does not get ready")


def _first(ingress: Ingress, kind: type) -> Event:
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up:
        for event in list(ingress.posted):
            if kind.__name__ in str(DATA_TYPES.get(event.type)):
                return event
        time.sleep(0.05)
    pytest.fail(f"no {kind.__name__} arrived")


def _call(url: str, event: Event) -> tuple[int, Event | None]:
    message = encode(event)
    answer = urllib3.request("POST", url, headers=message.headers, body=message.body, retries=False)
    return answer.status, decode(dict(answer.headers), answer.data, DATA_TYPES) if answer.data else None


def test_every_hop_in_a_process_of_its_own(redis_url: str, ingress: Ingress, tmp_path: Path) -> None:
    """Webhook → outbox → relay → broker; then breaker, failover, dead letters; and the clock when time is up."""
    store = open_store(redis_url)
    table = tmp_path / "breakers.yaml"
    table.write_text((EXAMPLE / "breakers.yaml").read_text("utf-8").replace("coolDown: 20s", "coolDown: 5s"), "utf-8")
    store.apply(load_table(table))
    environment = {"FUSEBOARD_REDIS_URL": redis_url, "K_SINK": ingress.url, "FUSEBOARD_STATE_DIR": str(tmp_path)}
    modules = ("eventsources.alertmanager", "fuseboard.delivery.relay", "functions.breaker", "functions.failover")
    with ExitStack() as stack:
        begun = [
            stack.enter_context(serving(module, environment))
            for module in (*modules, "eventsources.clock", "functions.deadletter")
        ]
        webhook, _, breaker, failover, clock, deadletter = (ready() for ready in begun)
        body = urllib3.request("POST", webhook, json=notification(alert("critical")), retries=False)
        assert (body.status, body.data) == (202, b"")
        signal = _first(ingress, FailureDetected)

        status, opened = _call(breaker, signal)
        assert (status, opened and opened.type) == (200, "dev.fuseboard.breaker.opened")
        assert opened is not None
        status, done = _call(failover, opened)
        assert (status, done and done.type) == (200, "dev.fuseboard.failover.completed")
        assert _call(deadletter, signal) == (202, None)
        assert _call(breaker, signal) == (200, opened)

        timer = _first_after_resolving(store_url=breaker, webhook=webhook, ingress=ingress)
        status, tried = _call(breaker, timer)
        assert (status, tried and tried.type) == (200, "dev.fuseboard.breaker.half_opened")
        assert urllib3.request("GET", f"{clock}/healthz").status == 200
    assert store.read("shop/login").state.epoch == 2


def _first_after_resolving(store_url: str, webhook: str, ingress: Ingress) -> Event:
    """Resolve the alert, hand the resolve to the breaker, and wait for the clock."""
    ingress.posted.clear()
    urllib3.request("POST", webhook, json=notification(alert("critical", resolved=True)), retries=False)
    give_up = time.monotonic() + WITHIN_S
    while not ingress.posted and time.monotonic() < give_up:
        time.sleep(0.05)
    assert _call(store_url, ingress.posted[0]) == (202, None)
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up:
        for event in list(ingress.posted):
            if DATA_TYPES.get(event.type) is TimerElapsed:
                return event
        time.sleep(0.05)
    pytest.fail("the clock did not send a timer")


@pytest.mark.parametrize(
    ("program", "files", "environment"),
    [
        (PROGRAM, decoy.ALL, {}),
        (MODULE, decoy.FILES, {}),
        (PROGRAM, decoy.FILES, {"PYTHONPATH": "."}),
    ],
    ids=["program", "module", "pythonpath"],
)
def test_a_users_own_functions_are_never_served(
    redis_url: str, tmp_path: Path, program: tuple[str, ...], files: tuple[str, ...], environment: dict[str, str]
) -> None:
    """Started from a folder with a ``functions/breaker.py`` of its own, ours answers and theirs is not imported."""
    folder = decoy.plant(tmp_path, files)
    open_store(redis_url).apply(load_table(EXAMPLE / "breakers.yaml"))
    environment = {"FUSEBOARD_REDIS_URL": redis_url, **environment}

    with serving("functions.breaker", environment, program, folder) as ready:
        url = ready()
        body, headers = json.dumps(failure_event("1", "critical")), {"content-type": STRUCTURED}
        answer = urllib3.request("POST", url, body=body, headers=headers, retries=False)

    assert (answer.status, answer.headers["ce-type"]) == (200, "dev.fuseboard.breaker.opened")
    assert decoy.imported(folder) == []


def test_a_module_that_misses_its_settings_says_which() -> None:
    """Without a store's URL, the log of the breaker function names the variable."""
    environment = {name: value for name, value in os.environ.items() if name != "FUSEBOARD_REDIS_URL"}
    found = subprocess.run(  # noqa: S603  - the program under test
        [FUSEBOARD, "serve", "functions.breaker", "--port", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )

    assert found.returncode != 0
    assert "FUSEBOARD_REDIS_URL" in found.stderr + found.stdout
