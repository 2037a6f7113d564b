"""etcd, the API server, the controllers and the simulated nodes."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.cluster import access, admission
from tests.cluster.api import Api, Json, RefusedError, UnreachableError, read_manifests
from tests.cluster.processes import Processes, free_port
from tests.cluster.programs import Installed
from tests.cluster.rows import ETCD, KUBERNETES, KWOK

NODES = ("node-a", "node-b")
CONTROLLERS = (
    "deployment",
    "replicaset",
    "statefulset",
    "endpointslice",
    "endpoints",
    "serviceaccount",
    "namespace",
    "garbage-collector",
    "job",
)
START_TIMEOUT_S = 60.0
NOWHERE = "192.0.2.1"  # for documentation (RFC 5737); without it the host must have a default route

# Nothing is computed in these pods: they only need to change state, soon.
_STAGE_DELAY_MS = 100
_STAGE_JITTER_MS = 200


class ControlPlane:
    """A running control plane."""

    def __init__(
        self,
        programs: Mapping[str, Installed],
        processes: Processes,
        folder: Path,
        users: Iterable[access.User],
    ) -> None:
        """Start nothing yet."""
        self._programs = programs
        self._processes = processes
        self._folder = folder
        self._users = {user.name: user for user in (access.admin(), *users)}
        self._etcd = f"http://127.0.0.1:{free_port()}"
        self.server = f"https://127.0.0.1:{free_port()}"
        self.ca = folder / "tls" / "apiserver.crt"  # the server makes it when it starts

    def start(self) -> None:
        """Start it; return when the API server answers."""
        self._start_etcd()
        self._start_api_server()
        self._processes.wait("the API server is ready", self._answers, timeout_s=START_TIMEOUT_S, log_of="apiserver")
        self._start_controllers()
        self._start_kwok()

    def start_nodes(self, api: Api) -> None:
        """Create the simulated nodes, and what places pods on them for lack of a scheduler."""
        api.apply_all([*map(_node, NODES), *admission.placement(NODES[0])])
        pod = _pod("placement-probe")
        self._processes.wait(
            "pods are placed on the nodes",
            lambda: "nodeName" in api.would_create(pod)["spec"],
            timeout_s=START_TIMEOUT_S,
            log_of="apiserver",
        )

    def api(self, user: str = access.ADMIN_NAME) -> Api:
        """Return the API server as a user sees it."""
        return Api(self.server, self.ca, self.token(user))

    def kubeconfig(self, user: str = access.ADMIN_NAME) -> Path:
        """Write a kubeconfig for a user."""
        path = self._folder / "kubeconfigs" / (re.sub(r"[^\w.-]", "_", user) + ".yaml")
        path.parent.mkdir(exist_ok=True)
        access.write_kubeconfig(path, server=self.server, ca=self.ca.read_bytes(), user=user, token=self.token(user))
        return path

    def token(self, user: str) -> str:
        """Return the token of a user of the token file, or a new one of an existing account."""
        if user in self._users:
            return self._users[user].token
        if not user.startswith(access.SERVICE_ACCOUNT):
            raise LookupError(f"{user!r} is not in the token file: give it to the cluster when it starts")
        return self._service_account_token(user)

    def compact(self) -> None:
        """Make etcd forget every revision but the present: a watch of Events from before gets 410.

        Other kinds are watched in the API server's cache, which remembers until it restarts.
        """
        with urllib3.PoolManager(retries=False) as pool:
            status = pool.request("POST", f"{self._etcd}/v3/maintenance/status", json={}).json()
            revision = {"revision": status["header"]["revision"], "physical": True}
            pool.request("POST", f"{self._etcd}/v3/kv/compaction", json=revision)

    def _service_account_token(self, user: str) -> str:
        namespace, _, name = user.removeprefix(access.SERVICE_ACCOUNT).partition(":")
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        api = self.api()
        try:
            answer = api.request("POST", path, {"spec": {"expirationSeconds": 24 * 3600}})
        finally:
            api.close()
        return str(answer["status"]["token"])

    def _start_etcd(self) -> None:
        client, peer = self._etcd, f"http://127.0.0.1:{free_port()}"
        self._processes.start(
            "etcd",
            [
                self._programs[ETCD.name].program("server"),
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )

    def _start_api_server(self) -> None:
        key = self._folder / "service-account.key"
        tokens = self._folder / "tokens.csv"
        access.write_signing_key(key)
        access.write_token_file(tokens, self._users.values())
        self._processes.start(
            "apiserver",
            [
                self._programs[KUBERNETES.name].program("kube-apiserver"),
                f"--etcd-servers={self._etcd}",
                f"--secure-port={self.server.rpartition(':')[2]}",
                "--bind-address=127.0.0.1",
                f"--advertise-address={NOWHERE}",
                f"--cert-dir={self.ca.parent}",
                "--service-cluster-ip-range=10.0.0.0/24",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--event-ttl=1h",
                "--disable-admission-plugins=ServiceAccount",
            ],
        )

    def _answers(self) -> bool:
        if not self.ca.exists():
            return False
        api = self.api()
        try:
            api.get("/readyz")
        except (RefusedError, UnreachableError):
            return False
        finally:
            api.close()
        return True

    def _start_controllers(self) -> None:
        names = ",".join(f"{name}-controller" for name in CONTROLLERS)
        self._processes.start(
            "controller-manager",
            [
                self._programs[KUBERNETES.name].program("kube-controller-manager"),
                f"--kubeconfig={self.kubeconfig()}",
                f"--controllers={names}",
                "--secure-port=0",
                "--leader-elect=false",
            ],
        )

    def _start_kwok(self) -> None:
        installed = self._programs[KWOK.name]
        stages = self._folder / "stages.yaml"
        files = [file for folder in KWOK.folders for file in installed.manifests(folder)]
        documents = [_sooner(it) for it in read_manifests(files) if it["kind"] == "Stage"]
        stages.write_text(yaml.safe_dump_all(documents))
        self._processes.start(
            "kwok",
            [
                installed.program("kwok"),
                f"--kubeconfig={self.kubeconfig()}",
                "--manage-all-nodes",
                f"--config={stages}",
                "--cidr=10.244.0.0/16",
                f"--node-ip={NOWHERE}",
                f"--server-address=127.0.0.1:{free_port()}",
            ],
        )


def _sooner(stage: Json) -> Json:
    delay: dict[str, Any] = stage["spec"].get("delay", {})
    if stage["spec"]["resourceRef"]["kind"] == "Pod" and delay:
        delay["durationMilliseconds"] = _STAGE_DELAY_MS
        delay["jitterDurationMilliseconds"] = _STAGE_JITTER_MS
    return stage


def _node(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}},
    }


def _pod(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
