"""What happens to a workload on a real cluster: it is made, scaled, rolled out, drained, and its pods fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.api import read_manifests
from tests.cluster.kubelet import stamp
from tests.cluster.standing import ROOT

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

FAILS = "pod-container-running-failed.stage.kwok.x-k8s.io"
READY_AFTER = "pod-ready.stage.kwok.x-k8s.io"
NEVER = "10h"
NODE = "/api/v1/nodes/node-a"


def workload(
    space: str, *, replicas: int = 3, kind: str = "Deployment", ready_after: str = "", **spec: Any  # noqa: ANN401
) -> dict[str, Any]:  # fmt: skip
    """Return the target of a namespace; its pods get ready at once, or after a while."""
    labels = {"app": "login"}
    meta = {"labels": labels, "annotations": slowly(ready_after) if ready_after else {}}
    container = {"name": "app", "image": "none", "ports": [{"containerPort": 8080}]}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1}  # kwok's pods take all that they are given
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "login", "namespace": space},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": meta, "spec": pod},
            **spec,
        },
    }


def slowly(ready_after: str) -> dict[str, str]:
    """Return the annotations by which kwok lets a pod get ready after a while."""
    return {f"{READY_AFTER}/delay": ready_after, f"{READY_AFTER}/jitter-delay": ready_after}


class Moving:
    """One namespace with a target, and what becomes of it."""

    def __init__(self, cluster: Cluster, space: str, plural: str = "deployments") -> None:
        """Begin without one."""
        self.cluster = cluster
        self.api = cluster.api
        self.space = space
        self.path = f"/apis/apps/v1/namespaces/{space}/{plural}/login"
        self.pods = f"/api/v1/namespaces/{space}/pods"

    def enrol(self) -> None:
        """Let Fuseboard look into the namespace, by its own manifests."""
        for manifest in read_manifests(sorted((ROOT / "knative" / "enrolled").glob("[!k]*.yaml"))):
            manifest["metadata"]["namespace"] = self.space
            self.api.apply(manifest)

    def make(self, **how: Any) -> None:  # noqa: ANN401  - as workload takes it
        """Make the target."""
        self.api.apply(workload(self.space, **how))

    def up(self, count: int = 3) -> None:
        """Wait until so many pods are ready, and all that is to be done is done."""
        self.api.wait(self.path, f"{count} ready", lambda found: _is_up(found, count), timeout_s=60)

    def scale(self, replicas: int) -> None:
        """As an HPA does it."""
        self.api.patch(f"{self.path}/scale", {"spec": {"replicas": replicas}})

    def roll(self, ready_after: str = "") -> None:
        """Change the template."""
        annotations = {"rolled": stamp(micro=True), **(slowly(ready_after) if ready_after else {})}
        self.api.patch(self.path, {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    def living(self) -> list[dict[str, Any]]:
        """Return the pods that are not on their way out."""
        items: list[dict[str, Any]] = self.api.get(self.pods)["items"]
        return [each for each in items if not each["metadata"].get("deletionTimestamp")]

    def ready(self, count: int = 3) -> None:
        """Wait until so many of the pods that stay are ready."""

        def is_so(_: dict[str, Any]) -> bool:
            return sum(map(_is_ready, self.living())) == count

        self.api.wait(self.pods, f"{count} ready", is_so, timeout_s=60)

    def evict(self, count: int) -> None:
        """As a drain, a cluster autoscaler or an operator of spot nodes does it."""
        for each in self.living()[:count]:
            meta = {"name": each["metadata"]["name"], "namespace": self.space}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
            self.api.request("POST", f"{self.pods}/{meta['name']}/eviction", body)

    def drain(self) -> None:
        """Cordon the node, evict what is on it, and let it be used again: other tests need it."""
        self.api.patch(NODE, {"spec": {"unschedulable": True}})
        self.evict(100)
        self.api.patch(NODE, {"spec": {"unschedulable": False}})

    def unready(self, count: int) -> None:
        """Let the readiness probes of some pods fail, as their kubelet says it."""
        for each in [pod for pod in self.living() if _is_ready(pod)][:count]:
            conditions = each["status"]["conditions"]
            turned = [{**one, "status": "False", "lastTransitionTime": stamp()} for one in conditions]
            self._say(each, {"conditions": turned})

    def die(self, reason: str = "OOMKilled", restarts: int = 1) -> str:
        """Let the container of a pod die and be started again; return the pod's uid."""
        each = self.living()[0]
        ended = {"exitCode": 137, "reason": reason, "startedAt": stamp(), "finishedAt": stamp()}
        (status,) = each["status"]["containerStatuses"]
        self._say(
            each, {"containerStatuses": [{**status, "restartCount": restarts, "lastState": {"terminated": ended}}]}
        )
        return str(each["metadata"]["uid"])

    def fail(self, count: int) -> None:
        """Let some pods come to the phase Failed."""
        for each in self.living()[:count]:
            self.api.patch(f"{self.pods}/{each['metadata']['name']}", {"metadata": {"labels": {FAILS: "true"}}})

    def address(self, ip: str) -> None:
        """Give all pods an address."""
        for each in self.living():
            self._say(each, {"podIP": ip, "podIPs": [{"ip": ip}]})

    def _say(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        self.api.patch(f"{self.pods}/{pod['metadata']['name']}/status", {"status": status})


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _is_up(found: dict[str, Any], count: int) -> bool:
    status = found.get("status", {})
    is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return is_seen and all(status.get(name, 0) == count for name in ("replicas", "updatedReplicas", "readyReplicas"))
