"""A real Alertmanager for tests: on loopback, in a folder of its own, gone afterwards.

    with Alertmanager(webhooks=[url]) as alertmanager:
        alertmanager.fire({"alertname": "KubePodCrashLooping", "namespace": "shop"})

It behaves towards Alertmanager as Prometheus does: an alert keeps its `startsAt` for as long as
it fires, and its resolve repeats labels, annotations and `startsAt`.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pytest
import urllib3

INSTALL = "no Alertmanager on PATH: apt-get install prometheus-alertmanager"
EXTERNAL_URL = "http://alertmanager.example:9093"
GENERATOR_URL = "http://prometheus.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"

Labels = Mapping[str, str]


def binary() -> Path | None:
    """Find Alertmanager under Debian's name or under its own."""
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return Path(found) if found else None


def require_binary() -> Path:
    """Find Alertmanager, or skip the test; in CI a missing one is a failure."""
    found = binary()
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(INSTALL)
    pytest.skip(INSTALL)


class AlertmanagerFailed(Exception):
    """It did not start, stopped early, refused alerts or did not get there in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert as Prometheus posts it; without `ends_at` it expires after five minutes."""

    labels: Labels
    annotations: Labels = field(default_factory=dict)
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def key(self) -> frozenset[tuple[str, str]]:
        """What makes it the same alert: its labels."""
        return frozenset(self.labels.items())

    def body(self) -> dict[str, object]:
        """Return it in the words of API v2."""
        times = {"startsAt": self.starts_at, "endsAt": self.ends_at}
        return {
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "generatorURL": GENERATOR_URL,
            **{name: at.isoformat() for name, at in times.items() if at},
        }


@dataclass(slots=True)
class Log:
    """The lines of a process, readable while it runs; a reader can wait for one."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    ended: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, stream: Iterator[str]) -> None:
        """Take every line until the process closes its end."""
        for line in stream:
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, text: str, timeout_s: float) -> str:
        """Return the first line that contains the text."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self._find(text), timeout_s)
            found = self._find(text)
            if found is None:
                message = f"no {text!r} in its log:\n{''.join(self.lines)}"
                raise AlertmanagerFailed(message)
            return found

    def text(self) -> str:
        """Return everything logged so far."""
        with self.changed:
            return "".join(self.lines)

    def _find(self, text: str) -> str | None:
        return next((line for line in self.lines if text in line), None)


@dataclass(slots=True, kw_only=True)
class Alertmanager:
    """One Alertmanager process that notifies webhooks; durations are in its own words ("1s")."""

    webhooks: Sequence[str]
    group_by: Sequence[str] = ("namespace",)
    group_wait: str = "0s"
    group_interval: str = "200ms"
    repeat_interval: str = "1h"
    send_resolved: bool = True
    max_alerts: int = 0
    bearer_token: str | None = None
    retention: str = "1h"
    # Another than 0, to take the place of one that is gone.
    port: int = 0
    # None: no cluster. Empty: the first of a cluster. Otherwise: whom to join.
    peers: Sequence[str] | None = None
    # How long a member waits for the one before it; Alertmanager's own default is 15 s.
    peer_timeout: str = "1s"
    timeout_s: float = 60.0

    url: str = field(init=False, default="")
    cluster_address: str = field(init=False, default="")
    _process: subprocess.Popen[str] = field(init=False)
    _log: Log = field(init=False, default_factory=Log)
    _http: urllib3.PoolManager = field(init=False, default_factory=urllib3.PoolManager)
    _firing: dict[frozenset[tuple[str, str]], Alert] = field(init=False, default_factory=dict)
    _undo: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        with ExitStack() as undo:
            folder = Path(undo.enter_context(TemporaryDirectory(prefix="alertmanager-")))
            undo.callback(self._http.clear)
            self._start(folder, undo)
            self._become_ready()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and remove its folder."""
        self._undo.close()

    @property
    def pid(self) -> int:
        """The process to pause or kill in a test; exit copes with a dead one."""
        return self._process.pid

    def fire(
        self,
        labels: Labels,
        annotations: Labels | None = None,
        *,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> None:
        """Post one firing alert; fired again, it keeps its first `startsAt`."""
        self.post(Alert(labels=labels, annotations=annotations or {}, starts_at=starts_at, ends_at=ends_at))

    def post(self, *alerts: Alert) -> None:
        """Post firing alerts in one request, as Prometheus does after an evaluation."""
        now = datetime.now(UTC)
        started = [self._started(alert, now) for alert in alerts]
        self._send(started)
        self._firing.update({alert.key: alert for alert in started})

    def resolve(self, *labels: Labels, ends_at: datetime | None = None) -> None:
        """Post the end of alerts, with the annotations and `startsAt` that they fired with."""
        now = ends_at or datetime.now(UTC)
        alerts = [Alert(labels=each) for each in labels]
        self._send([replace(self._firing.pop(alert.key, alert), ends_at=now) for alert in alerts])

    def silence(self, **labels: str) -> None:
        """Silence what has these labels, for an hour."""
        now = datetime.now(UTC)
        matchers = [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in labels.items()]
        times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        silence = {"matchers": matchers, **times, "createdBy": "a test", "comment": "quiet"}
        self._request("POST", "/api/v2/silences", json=silence)

    def logs(self) -> str:
        """Return what it logged so far, at level debug."""
        return self._log.text()

    def wait_for_log(self, text: str) -> str:
        """Wait for a line of its log that contains the text."""
        return self._log.wait_for(text, self.timeout_s)

    def status(self) -> dict[str, Any]:
        """Return its own status, with the members of the cluster."""
        return dict(self._request("GET", "/api/v2/status").json())

    def wait_for_members(self, count: int) -> None:
        """Wait until it sees so many members, itself among them, and its gossip has settled."""

        def settled() -> bool:
            cluster = self.status()["cluster"]
            return cluster["status"] == "ready" and len(cluster["peers"]) == count

        _wait_until(settled, self.timeout_s)

    def _started(self, alert: Alert, now: datetime) -> Alert:
        known = self._firing.get(alert.key)
        return replace(alert, starts_at=alert.starts_at or (known and known.starts_at) or now)

    def _send(self, alerts: Sequence[Alert]) -> None:
        self._request("POST", "/api/v2/alerts", json=[alert.body() for alert in alerts])

    def _request(self, method: str, path: str, json: object | None = None) -> urllib3.BaseHTTPResponse:
        response = self._http.request(method, self.url + path, json=json, timeout=self.timeout_s, retries=False)
        if response.status != HTTPStatus.OK:
            message = f"{method} {path}: {response.status} {response.data!r}"
            raise AlertmanagerFailed(message)
        return response

    def _start(self, folder: Path, undo: ExitStack) -> None:
        found = binary()
        if not found:
            raise AlertmanagerFailed(INSTALL)
        config = folder / "alertmanager.yml"
        config.write_text(json.dumps(self._config()))  # JSON is YAML
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            [found, f"--config.file={config}", f"--storage.path={folder}", *self._arguments()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={},  # no proxy of the host between it and the webhook
        )
        assert self._process.stderr  # it is a pipe
        follower = threading.Thread(target=self._log.follow, args=[self._process.stderr], daemon=True)
        undo.callback(self._process.stderr.close)
        undo.callback(follower.join)
        undo.callback(_stop, self._process)
        follower.start()

    def _become_ready(self) -> None:
        # It picks its ports itself, so no other process can take them first.
        line = self.wait_for_log('msg="Listening on"')
        self.url = "http://" + line.split("address=")[1].split()[0]
        self._request("GET", "/-/ready")
        if self.peers is None:
            return
        cluster = self.status()["cluster"]
        addresses = {peer["name"]: peer["address"] for peer in cluster["peers"]}
        self.cluster_address = addresses[cluster["name"]]

    def _arguments(self) -> list[str]:
        return [
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.external-url={EXTERNAL_URL}",
            f"--data.retention={self.retention}",
            "--log.level=debug",
            *self._cluster_arguments(),
        ]

    def _cluster_arguments(self) -> list[str]:
        if self.peers is None:
            return ["--cluster.listen-address="]
        return [
            "--cluster.listen-address=127.0.0.1:0",
            f"--cluster.peer-timeout={self.peer_timeout}",
            # It settles after some ten gossip intervals: 2 s and more with the default of 200ms.
            "--cluster.gossip-interval=20ms",
            *(f"--cluster.peer={peer}" for peer in self.peers),
        ]

    def _config(self) -> dict[str, object]:
        return {
            "route": {
                "receiver": "fuseboard",
                "group_by": list(self.group_by),
                "group_wait": self.group_wait,
                "group_interval": self.group_interval,
                "repeat_interval": self.repeat_interval,
            },
            "receivers": [
                {
                    "name": "fuseboard",
                    "webhook_configs": [self._webhook(url) for url in self.webhooks],
                }
            ],
        }

    def _webhook(self, url: str) -> dict[str, object]:
        credential = {"authorization": {"credentials": self.bearer_token}}
        return {
            "url": url,
            "send_resolved": self.send_resolved,
            "max_alerts": self.max_alerts,
            "http_config": credential if self.bearer_token else {},
        }


@contextmanager
def pair(each: Alertmanager) -> Iterator[tuple[Alertmanager, Alertmanager]]:
    """Start two members of one cluster, both configured like `each`, once they know each other.

    The first is the one that sends at once. Prometheus posts to both, so give both the same times.
    """
    with (
        replace(each, peers=()) as first,
        replace(each, peers=[first.cluster_address]) as second,
    ):
        first.wait_for_members(2)
        second.wait_for_members(2)
        yield first, second


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            message = f"not {condition.__name__} within {timeout_s} s"
            raise AlertmanagerFailed(message)
        time.sleep(0.02)  # its API cannot be waited on
