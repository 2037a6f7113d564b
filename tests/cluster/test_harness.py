"""What the other tests rely on: workloads, permissions, events, kubeconfigs, start and end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster import manifests, orphans
from tests.cluster.api import Json, RefusedError, has_condition
from tests.cluster.cluster import Cluster, running_cluster
from tests.cluster.function import Function, Message, send

LISTEN = "0A"  # the state in /proc/net/tcp
LOOPBACK = "0100007F"  # 127.0.0.1 there
ROOT = Path(__file__).parents[2]


def deployment(namespace: str, name: str = "web", **labels: str) -> Json:
    """Return a Deployment of two pods."""
    app = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": app},
            "template": {
                "metadata": {"labels": app | labels},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    }


def service(namespace: str, name: str = "web") -> Json:
    """Return the Service of that Deployment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }


def event(namespace: str, name: str) -> Json:
    """Return an Event as a kubelet writes one."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": namespace},
        "reason": "BackOff",
        "type": "Warning",
        "count": 1,
    }


def ready_endpoints(count: int) -> Callable[[Json], bool]:
    """Return a condition on the list of a Service's EndpointSlices."""

    def enough(slices: Json) -> bool:
        ends = [end for item in slices["items"] for end in item.get("endpoints") or ()]
        return [end["conditions"]["ready"] for end in ends] == [True] * count

    return enough


class TestWorkloads:
    """Deployments, pods, EndpointSlices."""

    def test_a_deployment_becomes_available_and_its_endpoints_fill(self, cluster: Cluster, namespace: str) -> None:
        """The controllers and the simulated nodes carry a Deployment to ready endpoints."""
        cluster.api.apply_all([deployment(namespace), service(namespace)])
        cluster.api.wait(
            f"/apis/apps/v1/namespaces/{namespace}/deployments/web",
            "available",
            lambda found: has_condition(found, "Available") and found["status"].get("readyReplicas") == 2,
        )
        cluster.api.wait(
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            "filled",
            ready_endpoints(2),
        )

    def test_a_label_makes_a_pod_fail(self, cluster: Cluster, namespace: str) -> None:
        """A pod with kwok's label for it comes to the phase Failed."""
        label = "pod-container-running-failed.stage.kwok.x-k8s.io"
        pod: Json = deployment(namespace)["spec"]["template"]
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] = {"name": "doomed", "namespace": namespace, "labels": {label: "true"}}
        cluster.api.create(pod)
        cluster.api.wait(cluster.api.path(pod), "Failed", lambda found: found["status"].get("phase") == "Failed")

    def test_the_schemas_of_others_are_installed(self, cluster: Cluster) -> None:
        """A Service of Knative Serving with a misspelt field is refused for it."""
        misspelt = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "misspelt", "namespace": "default"},
            "spec": {"templat": {}},
        }
        with pytest.raises(RefusedError, match=r'unknown field "spec\.templat"'):
            cluster.api.create(misspelt, dryRun="All")

    def test_a_watch_from_before_a_compaction_is_gone(self, cluster: Cluster, namespace: str) -> None:
        """Once etcd is compacted, a watch of Events from an earlier version gets 410."""
        path = f"/api/v1/namespaces/{namespace}/events"
        before = cluster.api.get(path)["metadata"]["resourceVersion"]
        for name in ("web.1", "web.2"):  # etcd still serves the revision right after the list
            cluster.api.create(event(namespace, name))
        cluster.control_plane.compact()
        answer = cluster.api.get(path, watch="1", resourceVersion=before, timeoutSeconds="10")
        assert (answer["type"], answer["object"]["code"]) == ("ERROR", 410)


class TestPermissions:
    """RBAC is on."""

    def test_a_user_without_a_role_is_refused(self, cluster: Cluster, namespace: str) -> None:
        """RBAC refuses what no role grants."""
        with (
            cluster.acting_as("nobody-in-particular") as nobody,
            pytest.raises(RefusedError) as refusal,
        ):
            nobody.get(f"/api/v1/namespaces/{namespace}/pods")
        assert (refusal.value.status, refusal.value.reason) == (403, "Forbidden")

    def test_a_role_grants_a_service_account_just_what_it_says(self, cluster: Cluster, namespace: str) -> None:
        """A user of the token file is bound to roles by its ServiceAccount's name."""
        cluster.api.apply_all(_reader_of_services(namespace))
        with cluster.acting_as("system:serviceaccount:fuseboard:failover") as failover:
            assert failover.get(f"/api/v1/namespaces/{namespace}/services")["items"] == []
            with pytest.raises(RefusedError, match="cannot delete"):
                failover.delete(f"/api/v1/namespaces/{namespace}/services/web")

    def test_an_existing_service_account_gets_a_real_token(self, cluster: Cluster, namespace: str) -> None:
        """One that is not in the token file acts by a token that the API server issued."""
        cluster.api.wait(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", "there", lambda _: True)
        user = f"system:serviceaccount:{namespace}:default"
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "SelfSubjectReview",
            "metadata": {},
        }
        with cluster.acting_as(user) as api:
            seen = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        assert seen["status"]["userInfo"]["username"] == user

    def test_a_kubeconfig_works_with_kubectl(self, cluster: Cluster, tmp_path: Path) -> None:
        """The kubeconfig of the administrator lets kubectl list the nodes."""
        answer = subprocess.run(
            [cluster.kubectl, "get", "nodes", "--output=name"],
            env={"KUBECONFIG": str(cluster.kubeconfig()), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.split() == ["node/node-a", "node/node-b"]


class TestEvents:
    """Knative's broker carries events."""

    def test_a_filtered_event_is_delivered_and_the_reply_comes_back(self, cluster: Cluster, namespace: str) -> None:
        """A Trigger delivers only its type; the reply passes the broker as an event of its own."""
        cluster.ready_broker(namespace)

        def answer(asked: Message) -> Message:
            return message("answer", "a-1", cause=asked.attributes["id"])

        with Function(answer) as asked, Function() as answered:
            subscribe(cluster, namespace, "question", asked.url)
            subscribe(cluster, namespace, "answer", answered.url)
            send(cluster.knative.ingress(namespace), message("noise", "n-1"))
            send(cluster.knative.ingress(namespace), message("question", "q-1"))
            got, replied = asked.next(), answered.next()
            assert (got.attributes["type"], got.attributes["id"]) == ("question", "q-1")
            assert got.headers["prefer"] == "reply"
            assert (replied.attributes["id"], replied.attributes["cause"]) == ("a-1", "q-1")
            assert not asked.has_more()

    def test_a_trigger_may_come_before_its_broker(self, cluster: Cluster, namespace: str) -> None:
        """A Trigger made first becomes Ready once its Broker is."""
        with Function() as function:
            early = cluster.api.apply(manifests.trigger(namespace, "early", function.url))
            cluster.ready_broker(namespace)
            cluster.api.wait_ready(early)

    def test_the_name_of_a_service_leads_to_a_local_port(self, cluster: Cluster, namespace: str) -> None:
        """A process stands in for a Service once its name points to the process's port."""
        cluster.ready_broker(namespace)
        host = f"function.{namespace}.svc.cluster.local"
        with Function() as function:
            cluster.knative.names.point(host, function.port)
            subscribe(cluster, namespace, "question", f"http://{host}/")
            send(cluster.knative.ingress(namespace), message("question", "q-1"))
            assert function.next().headers["host"] == host

    @pytest.mark.parametrize("part", ["broker-ingress", "broker-filter", "imc-dispatcher"])
    def test_the_broker_works_again_after_a_part_of_it_was_killed(
        self, cluster: Cluster, namespace: str, part: str
    ) -> None:
        """A part of the data plane that was killed and restarted delivers events."""
        cluster.ready_broker(namespace)
        with Function() as function:
            subscribe(cluster, namespace, "question", function.url)
            cluster.restart(part, grace_s=0)
            send(cluster.knative.ingress(namespace), message("question", "q-1"))
            assert function.next().attributes["id"] == "q-1"

    def test_a_ping_source_sends_events(self, cluster: Cluster, namespace: str) -> None:
        """A PingSource becomes Ready and sends its data on schedule."""
        with Function() as function:
            source = {
                "apiVersion": "sources.knative.dev/v1",
                "kind": "PingSource",
                "metadata": {"name": "clock", "namespace": namespace},
                "spec": {
                    "schedule": "@every 1s",
                    "contentType": "application/json",
                    "data": "{}",
                    "sink": {"uri": function.url},
                },
            }
            cluster.api.wait_ready(cluster.api.apply(source))
            assert function.next().attributes["type"] == "dev.knative.sources.ping"


class TestStartAndEnd:
    """Starting builds nothing a second time; ending leaves nothing."""

    def test_everything_listens_on_loopback_only(self, cluster: Cluster) -> None:
        """No process of the cluster takes connections from outside this machine."""
        mine = {inode for group in cluster.processes.groups for inode in socket_inodes(group)}
        listening = [address for inode, address in listeners() if inode in mine]
        assert len(listening) > len(cluster.knative.ports)
        assert {address.partition(":")[0] for address in listening} == {LOOPBACK}

    def test_a_second_cluster_builds_nothing_and_leaves_nothing(self, cluster: Cluster) -> None:
        """Beside a running cluster another one starts from the cache and ends without a trace."""
        lines: list[str] = []
        with running_cluster(report=lines.append) as second:
            groups, folder = second.processes.groups, second.folder
            assert second.control_plane.server != cluster.control_plane.server
        assert [line.partition(" in ")[0] for line in lines] == ["cluster: ready"]
        assert orphans.living(groups) == set()
        assert not folder.exists()
        assert cluster.api.get("/api/v1/nodes")["items"]

    def test_ctrl_c_ends_all_that_the_command_started(self, tmp_path: Path) -> None:
        """The command prints a kubeconfig and waits; Ctrl-C ends it and leaves nothing."""
        with stopping_anyway(
            subprocess.Popen(
                [sys.executable, "-m", "tests.cluster"],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": str(tmp_path)},
                stdout=subprocess.PIPE,
                text=True,
            )
        ) as command:
            assert command.stdout
            label, kubeconfig = command.stdout.readline().split()
            folder = Path(kubeconfig).parents[1]
            assert label == "kubeconfig"
            assert processes_in(folder)
            command.send_signal(signal.SIGINT)
            assert command.wait(timeout=60) == 0
        assert not processes_in(folder)
        assert not folder.exists()


def socket_inodes(process: int) -> Iterator[str]:
    """Return the sockets of a process, by inode."""
    for handle in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            kind, _, inode = str(handle.readlink()).partition(":")
            if kind == "socket":
                yield inode.strip("[]")


def listeners() -> Iterator[tuple[str, str]]:
    """Return inode and hexadecimal address of every listening TCP socket."""
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                yield fields[9], fields[1]


def message(kind: str, event_id: str, **extensions: str) -> Message:
    """Return an event."""
    return Message({"type": kind, "id": event_id, "source": "/test"} | extensions)


def subscribe(cluster: Cluster, namespace: str, kind: str, uri: str) -> None:
    """Create a Trigger; return when it is Ready."""
    manifest = manifests.trigger(namespace, kind, uri, event_type=kind)
    cluster.api.wait_ready(cluster.api.apply(manifest))


@contextmanager
def stopping_anyway(command: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill a command that a failed test has left."""
    with command:
        try:
            yield command
        finally:
            command.kill()


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder."""
    everything = ["/bin/ps", "-ww", "-eo", "args"]
    found = subprocess.run(everything, capture_output=True, text=True, check=True)
    return [line for line in found.stdout.splitlines() if str(folder) in line]


def _reader_of_services(namespace: str) -> list[Json]:
    version = "rbac.authorization.k8s.io/v1"
    meta = {"name": "reader", "namespace": namespace}
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"]}
    account = {"kind": "ServiceAccount", "name": "failover", "namespace": "fuseboard"}
    role = {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    return [
        {"apiVersion": version, "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": role,
            "subjects": [account],
        },
    ]
