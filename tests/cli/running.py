"""A running ``fuseboard up``: the real program, in a process of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import urllib3

from fuseboard.testing.ports import free_port
from tests.cli.program import Installed, Program

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN_S = 60.0
"""A machine that is busy with other tests makes this slow: that is no finding."""

POLICY: dict[str, Any] = {
    "apiVersion": "fuseboard.dev/v1alpha1",
    "kind": "CircuitBreaker",
    "metadata": {"name": "login", "namespace": "shop"},
    "spec": {
        "mode": "Enforce",
        "target": {"kind": "Deployment", "name": "login"},
        "standby": {"kind": "Deployment", "name": "login-standby"},
        "route": {
            "kind": "Service",
            "name": "login",
            "selectors": {
                "target": {"app": "login", "role": "primary"},
                "standby": {"app": "login", "role": "standby"},
            },
        },
        "recover": {"coolDown": "2s", "healthyFor": "1s"},
    },
}


def policy(**parts: dict[str, Any]) -> dict[str, Any]:
    """Return the policy with other values in some parts of its spec."""
    spec = {**POLICY["spec"], **{name: {**POLICY["spec"].get(name, {}), **part} for name, part in parts.items()}}
    return {**POLICY, "spec": spec}


class Up:
    """Starts the program on a free port, and ends only this process."""

    def __init__(
        self,
        state: Path,
        *policies: dict[str, Any],
        options: tuple[str, ...] = (),
        by_file: bool = True,
        folder: Path | None = None,
        program: Path | None = None,
    ) -> None:
        self.state = state
        self.file = state / "breakers.yaml"
        self.file.write_text("\n---\n".join(json.dumps(each) for each in policies or (POLICY,)), encoding="utf-8")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = state / "console"
        self._options = ("-f", str(self.file), *options) if by_file else options
        self._folder, self._program = folder, program
        self._http = urllib3.PoolManager(retries=False, timeout=WITHIN_S)
        self._process: Program | Installed | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The program's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the program, and wait until it is ready."""
        arguments = ("up", "--port", str(self.port), *self._options)
        environment = {"XDG_STATE_HOME": str(self.state)}
        if self._program is None:
            streams = (Path("/dev/null"), self.output, self.output)
            self._process = Program(*arguments, environment=environment, folder=self._folder, streams=streams)
        else:
            self._process = Installed(self._program, arguments, environment, self._folder, self.output)
        self.wait_for(self._ready)

    def stop(self) -> int | None:
        """End it as Ctrl-C does; return its exit status, None if it was not running."""
        if self._process is None:
            return None
        self._process.terminate()
        status = self._process.wait()
        self._process = None
        return status

    def kill(self) -> None:
        """End the program as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def wait_for(self, condition: Callable[[], object], within_s: float = WITHIN_S) -> Any:  # noqa: ANN401  - what it returns
        """Wait until the condition holds, and return its value."""
        give_up = time.monotonic() + within_s
        while time.monotonic() < give_up:
            found = condition()
            if found:
                return found
            if self._process is not None and self._process.code is not None:
                break
            time.sleep(0.02)
        message = f"not so within {within_s} s; the console says:\n{self.console()}"
        raise AssertionError(message)

    def console(self) -> str:
        """Return the output."""
        return self.output.read_text(encoding="utf-8")

    def post(
        self, path: str, body: object, content_type: str = "application/json", headers: dict[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Post a body, as JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": content_type, **(headers or {})}
        return self._http.request("POST", f"{self.url}{path}", body=raw, headers=sent)

    def get(self, path: str) -> Any:  # noqa: ANN401  - JSON
        """Return an answer of the API."""
        answer = self._http.request("GET", f"{self.url}{path}")
        assert answer.status == 200, answer.data
        return answer.json()

    def status(self, path: str) -> int:
        """Return only the status of a GET."""
        return self._http.request("GET", f"{self.url}{path}").status

    def breaker(self, key: str = "shop/login") -> Any:  # noqa: ANN401  - JSON
        """Return a breaker."""
        return self.get(f"/api/breakers/{key}")

    def journal(self, key: str = "shop/login") -> list[dict[str, Any]]:
        """Return a breaker's journal, newest first."""
        return self.get(f"/api/journal?breaker={key}&limit=200")  # type: ignore[no-any-return]

    def becomes(self, state: str, within_s: float = WITHIN_S) -> Any:  # noqa: ANN401  - JSON
        """Wait until the breaker is in a state and its placement is not owed; return the breaker."""

        def is_so() -> object:
            found = self.breaker()
            return found if found["state"] == state and not found["placement"]["owed"] else None

        return self.wait_for(is_so, within_s)

    def stays(self, state: str, for_s: float) -> None:
        """Assert that the breaker stays in a state."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            found = self.breaker()
            assert found["state"] == state, found
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            return self.status("/readyz") == 200
        except urllib3.exceptions.HTTPError:
            return False


def alert(severity: str = "warning", name: str = "HighErrorRate", *, resolved: bool = False) -> dict[str, Any]:
    """Return an alert on the Deployment ``login``."""
    labels = {"alertname": name, "namespace": "shop", "deployment": "login", "severity": severity}
    started = "2026-11-23T14:45:17.07855Z"
    ended = "2026-11-23T14:50:17.07855Z" if resolved else "0001-01-01T00:00:00Z"
    return {
        "status": "resolved" if resolved else "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": started,
        "endsAt": ended,
    }


def notification(*alerts: dict[str, Any], truncated: int = 0) -> dict[str, Any]:
    """Return a notification of Alertmanager with these alerts."""
    return {"version": "4", "groupKey": "{}", "truncatedAlerts": truncated, "status": "firing", "alerts": list(alerts)}


def failure_event(name: str, severity: str = "") -> dict[str, Any]:
    """Return a failure event in structured mode."""
    failure = {"key": name, "cause": "BackOff Pod/login-0", **({"severity": severity} if severity else {})}
    return {
        "specversion": "1.0",
        "type": "dev.fuseboard.failure.detected",
        "source": "/test",
        "id": name,
        "subject": "shop/login",
        "data": {"failures": [failure]},
    }
