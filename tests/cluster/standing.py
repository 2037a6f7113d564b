"""Fuseboard on the cluster: its own manifests, and processes that stand in for its pods."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import urllib3

from fuseboard.stores.redis import open_store
from fuseboard.testing.ports import free_port
from tests.cluster import manifests
from tests.cluster.api import RefusedError, has_condition, read_manifests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.cluster.cluster import Cluster

ROOT = Path(__file__).parents[2]
FUSEBOARD = Path(sys.executable).parent / "fuseboard"
SPACE = "fuseboard"
FUNCTIONS = ("breaker", "failover", "journal", "status", "deadletter")
SOURCES = (
    "eventsources.alertmanager", "eventsources.clock", "eventsources.apiserver", "eventsources.circuitbreakers",
    "fuseboard.delivery.relay",
)  # fmt: skip
ACCOUNTS = {"failover": "failover", "status": "status", "apiserver": "sources", "circuitbreakers": "sources"}
MIRROR = "circuitbreakers"
CLUSTER_WIDE = ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")


class Pod:
    """A process that stands in for a pod: it can be killed, and comes back on the same port."""

    def __init__(self, module: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = module.rpartition(".")[2]
        self.log = folder / f"{self.name}.log"
        self.port = free_port()
        self._module = module
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGTERM)

    def start(self) -> None:
        """Start, without waiting."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuseboard.cli", "serve", self._module, "--port", str(self.port)],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it, and gunicorn's worker with it."""
        if self._process is not None:
            os.killpg(self._process.pid, how)
            self._process.wait(30)
            self._process = None

    def wait_ready(self) -> None:
        """Return when it can do its work."""
        wait_for(f"{self.name} is ready", self._is_ready, lambda: self.log.read_text(encoding="utf-8")[-2_000:])

    def _is_ready(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/readyz", retries=False, timeout=5.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False


@dataclass(frozen=True, slots=True)
class Fuseboard:
    """All of Fuseboard, running on a cluster."""

    cluster: Cluster
    pods: Mapping[str, Pod]
    redis_url: str

    def selector(self, space: str) -> dict[str, str]:
        """Return whom the Service ``login`` selects."""
        service = self.cluster.api.get(f"/api/v1/namespaces/{space}/services/login")
        return dict(service["spec"]["selector"])

    def endpoints(self, space: str) -> set[str]:
        """Return the pods that the Service ``login`` leads to, by their names."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
        slices = self.cluster.api.get(path, labelSelector="kubernetes.io/service-name=login")["items"]
        ready = [each for found in slices for each in found.get("endpoints") or () if each["conditions"]["ready"]]
        return {each["targetRef"]["name"] for each in ready}

    def serves(self, space: str, role: str, within_s: float = 60.0) -> None:
        """Wait until the traffic of a namespace goes to the pods of a role, and to no others."""
        wanted = {"target": "primary", "standby": "standby"}[role]

        def is_so() -> bool:
            names = self.endpoints(space)
            only = all(name.startswith("login-standby-") == (role == "standby") for name in names)
            return self.selector(space) == {"app": "login", "role": wanted} and bool(names) and only

        wait_for(f"{role} serves in {space}", is_so, partial(self.explain, space), within_s)

    def explain(self, space: str) -> str:
        """Return the journal of a namespace's breaker, for a failed test."""
        entries = open_store(self.redis_url).journal([f"{space}/login"], 20)
        return "\n".join(f"{each.kind} {each.type} {each.state} {each.result} {each.reason}" for each in entries)

    def notify(self, *alerts: Mapping[str, Any]) -> None:
        """Tell the webhook of alerts, as Alertmanager does."""
        body = {"version": "4", "alerts": list(alerts), "truncatedAlerts": 0}
        answer = urllib3.request("POST", self.pods["alertmanager"].url, json=body, retries=False)
        assert (answer.status, answer.data) == (202, b"")

    def effects(self, space: str) -> list[str]:
        """Return the patches that were verified, oldest first, by their fences."""
        entries = open_store(self.redis_url).journal([f"{space}/login"], 1_000)
        return [f"{each.epoch}.{each.step}" for each in reversed(entries) if each.kind == "result" and each.patch]


@contextmanager
def standing(
    cluster: Cluster, folder: Path, redis_url: str, spaces: Sequence[str], *, mirrored: bool = True
) -> Iterator[Fuseboard]:
    """Run Fuseboard on a cluster, with a breaker ``login`` in each of these namespaces.

    Not ``mirrored``, its table is what is put into the store, as where it is a file.
    """
    let_in(cluster)
    for space in spaces:
        enrol(cluster, space)
        cluster.api.apply(policy(space))
    with ExitStack() as stack:
        stack.callback(_remove, cluster, (SPACE, *spaces))
        pods = {pod.name: pod for pod in _pods(cluster, folder, redis_url) if mirrored or pod.name != MIRROR}
        for pod in pods.values():
            stack.enter_context(pod)
        for pod in pods.values():
            pod.wait_ready()
        store = open_store(redis_url)
        wait_for("the table is there", lambda: {f"{each}/login" for each in spaces} <= store.table().keys(), str)
        install(cluster, {name: pods[name].port for name in FUNCTIONS})
        yield Fuseboard(cluster, pods, redis_url)


def let_in(cluster: Cluster) -> None:
    """Make Fuseboard's namespace and accounts, the kind CircuitBreaker, and what is granted in the whole cluster."""
    kind = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/circuitbreakers.fuseboard.dev"
    wait_for("no old kind is on its way out", lambda: not _is_leaving(cluster, kind), str)
    cluster.api.apply(manifests.namespace(SPACE))
    for manifest in _base():
        if manifest["kind"] in ("ServiceAccount", *CLUSTER_WIDE):
            cluster.api.apply(manifest)
    cluster.api.wait(kind, "Established", lambda found: has_condition(found, "Established"))


def _is_leaving(cluster: Cluster, path: str) -> bool:
    try:
        return "deletionTimestamp" in cluster.api.get(path)["metadata"]
    except RefusedError:
        return False


def install(cluster: Cluster, ports: Mapping[str, int]) -> None:
    """Apply Broker, Services and Triggers as they are deployed; no Serving runs, so say where each Service is."""
    wanted = {"Broker": 0, "Service": 1, "Trigger": 2}
    found = [each for each in _base() if _order(each, wanted) is not None]
    for manifest in sorted(found, key=lambda each: wanted[each["kind"]]):
        name = manifest["metadata"]["name"]
        cluster.api.apply(manifest)
        if manifest["kind"] == "Service" and name in ports:
            host = f"{name}.{SPACE}.svc.cluster.local"
            cluster.knative.names.point(host, ports[name])
            ready = [{"type": "Ready", "status": "True"}]
            status = {"url": f"http://{host}", "address": {"url": f"http://{host}"}, "conditions": ready}
            cluster.api.patch(f"{cluster.api.path(manifest)}/status", {"status": status})
    for manifest in found:
        if manifest["kind"] in ("Broker", "Trigger"):
            cluster.api.wait_ready(manifest, timeout_s=60)


def _remove(cluster: Cluster, spaces: Sequence[str]) -> None:
    """Delete namespaces, and wait until Fuseboard's own is gone: the next one installs it anew."""
    for space in spaces:
        cluster.api.delete(f"/api/v1/namespaces/{space}")
    wait_for(f"{SPACE} is gone", partial(_is_gone, cluster, SPACE), str)


def _is_gone(cluster: Cluster, space: str) -> bool:
    try:
        cluster.api.get(f"/api/v1/namespaces/{space}")
    except RefusedError as refusal:
        return refusal.reason == "NotFound"
    return False


def _base() -> Iterator[dict[str, Any]]:
    for manifest in read_manifests(sorted((ROOT / "knative" / "base").glob("*.yaml"))):
        if manifest["kind"] != "Kustomization":
            if manifest["kind"] not in CLUSTER_WIDE:
                manifest["metadata"]["namespace"] = SPACE
            yield manifest


def _order(manifest: Mapping[str, Any], wanted: Mapping[str, int]) -> int | None:
    if not manifest or not str(manifest.get("apiVersion")).partition("/")[0].endswith("knative.dev"):
        return None
    return wanted.get(manifest["kind"])


def enrol(cluster: Cluster, space: str) -> None:
    """Make a namespace with target, standby and Service, and let Fuseboard act in it, by its own manifests."""
    cluster.api.apply(manifests.namespace(space))
    for manifest in read_manifests(sorted((ROOT / "knative" / "enrolled").glob("[!k]*.yaml"))):
        manifest["metadata"]["namespace"] = space
        cluster.api.apply(manifest)
    for name, role in (("login", "primary"), ("login-standby", "standby")):
        cluster.api.apply(deployment(space, name, role))
    cluster.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "login", "namespace": space},
            "spec": {"selector": {"app": "login", "role": "primary"}, "ports": [{"port": 80}]},
        }
    )
    for name in ("login", "login-standby"):
        path = f"/apis/apps/v1/namespaces/{space}/deployments/{name}"
        cluster.api.wait(path, "available", lambda found: found.get("status", {}).get("readyReplicas", 0) > 0)


def policy(space: str) -> dict[str, Any]:
    """Return the policy of a namespace's breaker, with short times."""
    return {
        "apiVersion": "fuseboard.dev/v1alpha1",
        "kind": "CircuitBreaker",
        "metadata": {"name": "login", "namespace": space},
        "spec": {
            "mode": "Enforce",
            "target": {"kind": "Deployment", "name": "login"},
            "standby": {"kind": "Deployment", "name": "login-standby"},
            "route": {"kind": "Service", "name": "login"},
            "recover": {"coolDown": "3s", "healthyFor": "1s"},
        },
    }


def deployment(space: str, name: str, role: str, replicas: int = 1) -> dict[str, Any]:
    """Return a Deployment whose pods have a role."""
    labels = {"app": "login", "role": role}
    containers = [{"name": "app", "image": "none"}]
    spec = {"containers": containers, "terminationGracePeriodSeconds": 1}  # nobody waits for them to end
    pod = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }


def _pods(cluster: Cluster, folder: Path, redis_url: str) -> Iterator[Pod]:
    common = {
        "FUSEBOARD_REDIS_URL": redis_url,
        "K_SINK": cluster.knative.ingress(SPACE, "fuseboard"),
        "FUSEBOARD_STATE_DIR": str(folder),
        "FUSEBOARD_KUBECONFIG": "",
    }
    for module in (*SOURCES, *(f"functions.{name}" for name in FUNCTIONS)):
        account = ACCOUNTS.get(module.rpartition(".")[2])
        user = f"system:serviceaccount:{SPACE}:{account}"
        own = {"FUSEBOARD_KUBECONFIG": str(cluster.kubeconfig(user))} if account else {}
        yield Pod(module, folder, {**common, **own})


def wait_for(what: str, condition: Callable[[], object], explain: Callable[[], str], within_s: float = 60.0) -> None:
    """Wait until the condition holds."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"not so within {within_s:.0f} s: {what}\n{explain()}"
        time.sleep(0.1)
