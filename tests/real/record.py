"""Record what the real Alertmanager sends: `python -m tests.real.record` rewrites `payloads/`.

Alerts have the labels that kube-prometheus' rules give them.
"""

import json
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, Self
from uuid import NAMESPACE_DNS, uuid5

from .alertmanager import Alert, Alertmanager, pair

PAYLOADS = Path(__file__).parent / "payloads"
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "01-one-alert"
KEPT_HEADERS = ("content-type", "user-agent")
# Long enough for all alerts of one request to reach their group.
GATHER = "300ms"

Recording = dict[str, Any]


def load(name: str) -> Recording:
    """Return one recording: `{"headers": …, "body": …}`."""
    recording: Recording = json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))
    return recording


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that reached the recorder, and what it was answered."""

    at: float
    headers: dict[str, str]
    body: dict[str, Any]
    answer: int

    def recording(self) -> Recording:
        """Return what is worth keeping of it."""
        kept = {name: self.headers[name] for name in KEPT_HEADERS}
        return {"headers": kept, "body": self.body}


def accept(_: int) -> int:
    """Answer every delivery as a receiver that is well does."""
    return 202


@dataclass(slots=True)
class Recorder:
    """A webhook on loopback; `answer` is given the number of the delivery, from 0."""

    answer: Callable[[int], int] = accept
    deliveries: list[Delivery] = field(init=False, default_factory=list)
    _numbers: Iterator[int] = field(init=False, default_factory=count)  # two may post at once
    _arrived: queue.Queue[Delivery] = field(init=False, default_factory=queue.Queue)
    _server: ThreadingHTTPServer = field(init=False)
    _thread: Thread = field(init=False)

    def __enter__(self) -> Self:
        """Listen on a free port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self._thread = Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where Alertmanager shall post."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def next(self, timeout_s: float = 20.0) -> Delivery:
        """Wait for the next delivery; `queue.Empty` when none comes."""
        return self._arrived.get(timeout=timeout_s)

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        answer = self.answer(next(self._numbers))
        delivery = Delivery(time.monotonic(), headers, json.loads(body), answer)
        self.deliveries.append(delivery)
        self._arrived.put(delivery)
        return answer


def _handler(take: Callable[[dict[str, str], bytes], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(take(headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing: the deliveries are the log."""

    return Handler


def mismatch(deployment: str, severity: str | None = "warning", **labels: str) -> Alert:
    """Return kube-prometheus' alert about a deployment that lacks replicas."""
    return Alert(
        labels={
            "alertname": "KubeDeploymentReplicasMismatch",
            "container": "kube-rbac-proxy-main",
            "deployment": deployment,
            "instance": "10.244.1.7:8443",
            "job": "kube-state-metrics",
            "namespace": "shop",
            "prometheus": "monitoring/k8s",
            **({"severity": severity} if severity else {}),
            **labels,
        },
        annotations={
            "description": f"Deployment shop/{deployment} has not matched the expected number of "
            "replicas for longer than 15 minutes.",
            "runbook_url": "https://runbooks.example/kubedeploymentreplicasmismatch",
            "summary": "Deployment has not matched the expected number of replicas.",
        },
    )


def crash_loop(pod: str, container: str) -> Alert:
    """Return kube-prometheus' alert about a crashing pod, which names no workload."""
    return Alert(
        labels={
            "alertname": "KubePodCrashLooping",
            "container": container,
            "instance": "10.244.1.7:8443",
            "job": "kube-state-metrics",
            "namespace": "shop",
            "pod": pod,
            "prometheus": "monitoring/k8s",
            "reason": "CrashLoopBackOff",
            "severity": "warning",
            "uid": str(uuid5(NAMESPACE_DNS, pod)),
        },
        annotations={
            "description": f"Pod shop/{pod} ({container}) is in waiting state (reason: CrashLoopBackOff).",
            "runbook_url": "https://runbooks.example/kubepodcrashlooping",
            "summary": "Pod is crash looping.",
        },
    )


LOGIN = mismatch("login")
CART = mismatch("cart")
SEARCH = mismatch("search")
TWINS = [mismatch("login", prometheus_replica=f"prometheus-k8s-{n}") for n in range(2)]
STORM = [
    crash_loop(f"{name}-7c9f8d6b5d-x2x4{end}", name)
    for name in ("login", "cart", "search", "checkout", "db")
    for end in "bcdfghjklm"
]
LONG_TEXT = 'Größe überschritten: 注文サービス 🔥 «login»\n\ttab "quoted" <b>&amp;</b> \u2028 {{ .x }} ' * 50
LONG = replace(LOGIN, annotations={**LOGIN.annotations, "description": LONG_TEXT})


@contextmanager
def scene(
    group_wait: str = "0s", repeat_interval: str = "1h", max_alerts: int = 0
) -> Iterator[tuple[Alertmanager, Recorder]]:
    """Start a fresh Alertmanager that notifies a fresh recorder."""
    with (
        Recorder() as recorder,
        Alertmanager(
            webhooks=[recorder.url],
            group_wait=group_wait,
            repeat_interval=repeat_interval,
            max_alerts=max_alerts,
        ) as alertmanager,
    ):
        yield alertmanager, recorder


def firing(*alerts: Alert) -> Recording:
    """Record a group that fires at once."""
    with scene(group_wait=GATHER) as (alertmanager, recorder):
        alertmanager.post(*alerts)
        return recorder.next().recording()


def repeats() -> Iterator[tuple[str, Recording]]:
    """Record a firing group, and the reminder that it still fires."""
    with scene(repeat_interval="200ms") as (alertmanager, recorder):
        alertmanager.post(LOGIN)
        yield "warning", recorder.next().recording()
        yield "warning_repeat", recorder.next().recording()


def mixes() -> Iterator[tuple[str, Recording]]:
    """Record a group in which one of two alerts resolves, then the other."""
    with scene(group_wait=GATHER) as (alertmanager, recorder):
        alertmanager.post(LOGIN, CART)
        recorder.next()
        alertmanager.resolve(CART.labels)
        yield "firing_and_resolved", recorder.next().recording()
        alertmanager.resolve(LOGIN.labels)
        yield "resolved", recorder.next().recording()


def truncations() -> Iterator[tuple[str, Recording]]:
    """Record a group that is cut to one alert; then the same one resolves, the others fire on."""
    with scene(group_wait=GATHER, max_alerts=1) as (alertmanager, recorder):
        alertmanager.post(LOGIN, CART, SEARCH)
        yield "truncated", recorder.next().recording()
        alertmanager.resolve(CART.labels)
        yield "truncated_resolved", recorder.next().recording()


def flaps() -> Iterator[tuple[str, Recording]]:
    """Record an alert that fires, resolves and fires again."""
    with scene() as (alertmanager, recorder):
        alertmanager.post(LOGIN)
        yield "flap_1_firing", recorder.next().recording()
        alertmanager.resolve(LOGIN.labels)
        yield "flap_2_resolved", recorder.next().recording()
        alertmanager.post(LOGIN)
        yield "flap_3_firing", recorder.next().recording()


def lapses() -> Iterator[tuple[str, Recording]]:
    """Record an alert that expires because Prometheus is cut off, and is then posted again."""
    with scene() as (alertmanager, recorder):
        alertmanager.post(replace(LOGIN, ends_at=datetime.now(UTC) + timedelta(seconds=0.5)))
        yield "lapse_1_firing", recorder.next().recording()
        yield "lapse_2_resolved", recorder.next().recording()
        alertmanager.post(LOGIN)
        yield "lapse_3_firing", recorder.next().recording()


def disagreements() -> Iterator[tuple[str, Recording]]:
    """Record an HA pair: the second still waits with what it saw while the first tells the end."""
    with Recorder() as recorder:
        each = Alertmanager(webhooks=[recorder.url], peer_timeout="1s", group_interval="200ms")
        with pair(each) as both:
            now = datetime.now(UTC)
            for alertmanager in both:
                alertmanager.post(replace(LOGIN, starts_at=now))
            yield "pair_1_firing", recorder.next().recording()
            now = datetime.now(UTC)
            for alertmanager in both:
                alertmanager.resolve(LOGIN.labels, ends_at=now)
            yield "pair_2_resolved", recorder.next().recording()
            yield "pair_3_firing_late", recorder.next().recording()
            yield "pair_4_resolved_again", recorder.next().recording()


def recordings() -> Iterator[tuple[str, Recording]]:
    """Record everything, each under its name."""
    yield from repeats()
    yield from mixes()
    yield from truncations()
    yield from flaps()
    yield from lapses()
    yield from disagreements()
    yield "critical", firing(mismatch("login", "critical"))
    yield "no_severity", firing(mismatch("login", None))
    yield "long_unicode_annotation", firing(LONG)
    yield "pod_only", firing(crash_loop("login-7c9f8d6b5d-x2x4z", "login"))
    yield "prometheus_pair", firing(*TWINS)
    yield "fifty", firing(*STORM)


def example() -> Iterator[tuple[str, Recording]]:
    """The tour of the README: it gets worse, then it is over."""
    with scene() as (alertmanager, recorder):
        for name, severity in (("warning", "warning"), ("critical", "critical")):
            alertmanager.post(mismatch("login", severity))
            yield name, recorder.next().recording()
        alertmanager.resolve(*(mismatch("login", severity).labels for severity in ("warning", "critical")))
        yield "resolved", recorder.next().recording()


def main() -> None:
    """Rewrite the recordings."""
    for name, recording in example():
        text = json.dumps(recording["body"], indent=2, ensure_ascii=False)
        (EXAMPLE / f"{name}.json").write_text(text + "\n", "utf-8")
    PAYLOADS.mkdir(exist_ok=True)
    for name, recording in recordings():
        text = json.dumps(recording, indent=2, ensure_ascii=False)
        (PAYLOADS / f"{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
