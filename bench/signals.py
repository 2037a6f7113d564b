"""What is sent in the bench: breakers, signals and notifications of the shapes and sizes that real ones have."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import yaml

from bench.measure import post
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.events.wire import encode
from fuseboard.policy import spec as policy
from fuseboard.policy import validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fuseboard.policy.spec import Policy

NAMESPACE: Final = "shop"
ID: Final = "000000000000"
TIME_MS: Final = 946_684_800_000
"""Marks that the load generator replaces: see ``bench.programs.load``."""

JSON: Final = {"Content-Type": "application/json"}
BEGAN: Final = "2026-01-31T12:00:00.000Z"


def document(name: str) -> dict[str, Any]:
    """Return a ``CircuitBreaker`` as a user writes it; it only observes."""
    spec = {"target": {"name": name}, "standby": {"name": f"{name}-standby"}, "route": {"name": name}}
    head = {"apiVersion": policy.API_VERSION, "kind": policy.KIND}
    return {**head, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def policies(names: Iterable[str]) -> list[Policy]:
    """Return breakers by their names."""
    return [validation.parse_document(document(name), "bench") for name in names]


def policy_file(names: Iterable[str]) -> str:
    """Return breakers as a file."""
    return yaml.safe_dump_all(document(name) for name in names)


def workloads(count: int) -> list[str]:
    """Return names of workloads."""
    return [f"workload-{number}" for number in range(count)]


def alerts_again(names: Sequence[str], count: int, first: int) -> list[Event]:
    """Return signals, one alert of one workload each, in turns: the alert fires and is sent again."""
    now = time.time_ns() // 1_000_000
    return [_signal(names[number % len(names)], str(number), now) for number in range(first, first + count)]


def cloudevents(names: Sequence[str]) -> list[bytes]:
    """Return the same as requests in binary mode; id and time are marks."""
    messages = [encode(_signal(name, ID, TIME_MS)) for name in names]
    return [post("/", dict(message.headers), _body(message.body)) for message in messages]


def _signal(name: str, identifier: str, moment: int) -> Event:
    failure = Failure(
        key=f"0f8fad5bd9cb469fa16570867728950e:{moment}:firing",
        cause=f"HighErrorRate Deployment/{name}",
        condition="0f8fad5bd9cb469fa16570867728950e",
        severity="warning",
        started_at=moment - 60_000,
    )
    subject = f"{NAMESPACE}/{name}"
    return Event(id=identifier, source="/alertmanager", subject=subject, data=FailureDetected((failure,)), time=moment)


def _body(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def notification(alerts: Sequence[dict[str, Any]]) -> bytes:
    """Return what Alertmanager posts to a webhook, version 4."""
    labels = {"namespace": NAMESPACE}
    head = {"receiver": "fuseboard", "status": "firing", "groupLabels": labels, "commonLabels": labels}
    tail = {"commonAnnotations": {}, "externalURL": "http://alertmanager.example:9093", "version": "4"}
    group = {"groupKey": f'{{}}:{{namespace="{NAMESPACE}"}}', "truncatedAlerts": 0}
    return json.dumps({**head, "alerts": alerts, **tail, **group}).encode()


def alert(name: str, number: int) -> dict[str, Any]:
    """Return one alert about a pod of a workload, with the labels of kubernetes-mixin and some 770 bytes."""
    pod = f"{name}-7c9f8d6b5d-x2x{_letters(number)}"
    return {
        "status": "firing",
        "labels": {
            "alertname": "KubePodCrashLooping",
            "container": name,
            "deployment": name,
            "instance": "10.244.1.7:8443",
            "job": "kube-state-metrics",
            "namespace": NAMESPACE,
            "pod": pod,
            "prometheus": "monitoring/k8s",
            "reason": "CrashLoopBackOff",
            "severity": "warning",
            "uid": f"8ce72a25-6fe9-5e52-9c78-{number:012x}",
        },
        "annotations": {
            "description": f"Pod {NAMESPACE}/{pod} ({name}) is in waiting state (reason: CrashLoopBackOff).",
            "runbook_url": "https://runbooks.example/kubepodcrashlooping",
            "summary": "Pod is crash looping.",
        },
        "startsAt": BEGAN,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        "fingerprint": f"{number:016x}",
    }


def _letters(number: int) -> str:
    letters = "bcdfghjklmnpqrstvwxz"
    return letters[number // len(letters) % len(letters)] + letters[number % len(letters)]
