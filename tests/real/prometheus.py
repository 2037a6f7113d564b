"""A real Prometheus for tests, that scrapes a real process: on loopback, in a folder of its own, gone afterwards.

with Exporter() as login, Prometheus(login.address) as prometheus:
    login.carry(150)
    prometheus.shows("load", 150)
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pytest
import urllib3

from fuseboard.testing.ports import free_port

INSTALL = "no Prometheus on PATH: apt-get install prometheus"
WITHIN_S = 60.0


def require_binary() -> Path:
    """Find Prometheus, or skip the test; in CI a missing one is a failure."""
    found = shutil.which("prometheus")
    if found:
        return Path(found)
    if os.environ.get("CI") == "true":
        pytest.fail(INSTALL)
    pytest.skip(INSTALL)


class Exporter:
    """A process with a gauge."""

    def __init__(self) -> None:
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603  - our own program
            [sys.executable, "-m", "tests.real.exporter", str(self._port)], stdin=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=WITHIN_S)

    def carry(self, load: float) -> None:
        """Let the gauge show this from the next scrape on."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{load}\n")
        self._process.stdin.flush()


class Prometheus:
    """One Prometheus process."""

    def __init__(self, *targets: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._targets = targets
        self._http = urllib3.PoolManager(retries=False, timeout=WITHIN_S)
        self._undo = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        binary = require_binary()
        with ExitStack() as undo:
            folder = Path(undo.enter_context(TemporaryDirectory(prefix="prometheus-")))
            undo.callback(self._http.clear)
            config = folder / "prometheus.yml"
            config.write_text(json.dumps(self._config()))  # JSON is YAML
            log = undo.enter_context((folder / "log").open("wb"))
            self._process = subprocess.Popen(  # noqa: S603  - our own arguments
                [
                    binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
                env={},
            )
            undo.callback(self.kill)
            _wait(self._is_ready, (folder / "log").read_text)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def pid(self) -> int:
        """The process, to pause in a test."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def shows(self, query: str, value: float) -> None:
        """Wait until a query has this one number as its answer."""
        _wait(lambda: [float(each["value"][1]) for each in self._result(query)] == [value], lambda: query)

    def _result(self, query: str) -> list[dict[str, Any]]:
        answer = self._http.request("GET", f"{self.url}/api/v1/query", fields={"query": query})
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def _is_ready(self) -> bool:
        try:
            return self._http.request("GET", f"{self.url}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _config(self) -> dict[str, Any]:
        scraped = [{"job_name": "login", "static_configs": [{"targets": list(self._targets)}]}] if self._targets else []
        return {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"}, "scrape_configs": scraped}


def _wait(condition: Any, why: Any) -> None:  # noqa: ANN401  - two functions without arguments
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up, why()
        time.sleep(0.05)
