"""The manifests on a real API server: every overlay, with the real schemas, admission and RBAC."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cluster import manifests
from tests.cluster.api import RefusedError, has_condition
from tests.cluster.kubectl import kubectl
from tests.cluster.kustomize import (
    COMPONENTS,
    KNATIVE,
    LOCAL,
    NAMESPACE,
    PRODUCTION,
    Combination,
    Kustomize,
    all_combinations,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.cluster.api import Json
    from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.timeout(180)

SERVING: Final = "serving.knative.dev/v1"
ENROLLED: Final = "shop"
ELSEWHERE: Final = "elsewhere"
SPACES: Final = (NAMESPACE, ENROLLED, ELSEWHERE, "")
CLUSTER_WIDE: Final = {
    "Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
}  # fmt: skip
MADE_BY_OTHERS: Final = {"kube-root-ca.crt"}
COMBINATIONS: Final = tuple(all_combinations())
ON_THE_SERVER: Final = (
    Combination(LOCAL, ()),
    Combination(PRODUCTION, ()),
    Combination(LOCAL, ("external-redis", "prometheus-operator", "serving-scheduling", "durable-deadletter")),
    Combination(PRODUCTION, ("external-redis", "prometheus-operator", "functions-as-deployments")),
)

ACCOUNTS: Final = ("alertmanager", "breaker", "deadletter", "failover", "journal", "sources", "status", "valkey")
MAY: Final = {
    ("failover", "", "services", "get"),
    ("failover", "", "services", "patch"),
    ("failover", "", "pods", "list"),
    ("failover", "apps", "deployments", "get"),
    ("failover", "apps", "statefulsets", "get"),
    ("sources", "", "events", "list"),
    ("sources", "", "events", "watch"),
    ("sources", "", "pods", "get"),
    ("sources", "", "pods", "list"),
    ("sources", "", "pods", "watch"),
    ("sources", "apps", "deployments", "list"),
    ("sources", "apps", "deployments", "watch"),
    ("sources", "apps", "replicasets", "get"),
    ("sources", "apps", "statefulsets", "list"),
    ("sources", "apps", "statefulsets", "watch"),
    ("status", "fuseboard.dev", "circuitbreakers", "get"),
    ("status", "fuseboard.dev", "circuitbreakers", "patch"),
    ("status", "fuseboard.dev", "circuitbreakers/status", "patch"),
    ("status", "", "events", "create"),
    ("status", "apps", "deployments", "get"),
    ("status", "apps", "statefulsets", "get"),
}
"""All that anybody may in enrolled namespaces: account, group, resource, verb."""
MAY_EVERYWHERE: Final = {
    ("sources", "fuseboard.dev", "circuitbreakers", "get"),
    ("sources", "fuseboard.dev", "circuitbreakers", "list"),
    ("sources", "fuseboard.dev", "circuitbreakers", "watch"),
    ("sources", "fuseboard.dev", "circuitbreakers", "patch"),
    ("sources", "fuseboard.dev", "circuitbreakers/status", "patch"),
    ("sources", "", "namespaces", "get"),
}
"""All that anybody may anywhere."""

VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
ASKED: Final = (
    ("", "services"), ("", "pods"), ("", "pods/exec"), ("", "pods/attach"), ("", "pods/portforward"), ("", "pods/log"),
    ("", "pods/eviction"), ("", "pods/ephemeralcontainers"), ("", "services/proxy"), ("", "secrets"),
    ("", "configmaps"), ("", "events"), ("", "endpoints"), ("", "serviceaccounts"), ("", "serviceaccounts/token"),
    ("", "namespaces"), ("", "nodes"), ("", "nodes/proxy"), ("", "persistentvolumeclaims"),
    ("apps", "deployments"), ("apps", "deployments/scale"), ("apps", "statefulsets"), ("apps", "replicasets"),
    ("apps", "daemonsets"), ("batch", "jobs"), ("autoscaling", "horizontalpodautoscalers"),
    ("discovery.k8s.io", "endpointslices"), ("networking.k8s.io", "networkpolicies"),
    ("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"), ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("certificates.k8s.io", "certificatesigningrequests"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("coordination.k8s.io", "leases"),
    ("serving.knative.dev", "services"), ("eventing.knative.dev", "brokers"), ("eventing.knative.dev", "triggers"),
    ("sources.knative.dev", "sinkbindings"), ("fuseboard.dev", "circuitbreakers"),
    ("fuseboard.dev", "circuitbreakers/status"), ("fuseboard.dev", "circuitbreakers/finalizers"),
    ("kustomize.toolkit.fluxcd.io", "kustomizations"),
)  # fmt: skip
RISING: Final = (
    ("rbac.authorization.k8s.io", "roles", "escalate"),
    ("rbac.authorization.k8s.io", "roles", "bind"),
    ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
    ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    ("", "serviceaccounts", "impersonate"),
    ("", "users", "impersonate"),
    ("", "groups", "impersonate"),
    ("*", "*", "*"),
    ("", "*", "get"),
)


@pytest.fixture(scope="module")
def kustomize(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Kustomize:
    """Return what builds overlays."""
    return Kustomize(cluster.kubectl, tmp_path_factory.mktemp("kustomize"))


@pytest.fixture
def restricted(cluster: Cluster, namespace: str) -> str:
    """Return a namespace in which only what is restricted may run, with the priority that our pods ask for."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    return namespace


@pytest.fixture(scope="class")
def priority(cluster: Cluster, kustomize: Kustomize) -> Iterator[None]:
    """Create the PriorityClass, as an overlay has it."""
    (found,) = (each for each in kustomize.build(LOCAL) if each["kind"] == "PriorityClass")
    cluster.api.apply(found)
    yield
    cluster.api.delete(cluster.api.path(found))


@pytest.fixture(scope="class")
def installed(cluster: Cluster) -> Iterator[None]:
    """Install the overlay for a cluster to play with, as the README says; take it away in the end."""
    kubectl(cluster, "apply", "--server-side", "-k", str(KNATIVE / "overlays" / "local"))
    cluster.api.apply(manifests.namespace(ELSEWHERE))
    yield
    uninstall(cluster, "overlays/local")
    cluster.api.delete(f"/api/v1/namespaces/{ELSEWHERE}")


def uninstall(cluster: Cluster, overlay: str) -> None:
    """Delete an overlay as the README says; return when nothing of ours is left, of any kind, in any namespace."""
    kubectl(cluster, "delete", "--wait=false", "-k", str(KNATIVE / overlay))
    # What the kubelet does in its own time, and the controller that frees claims when no pod uses them: neither runs.
    kubectl(cluster, "delete", "pods", "--all", "--namespace", NAMESPACE, "--grace-period=0", "--force", "--wait=false")
    claims = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
    for claim in cluster.api.get(claims)["items"]:
        cluster.api.patch(f"{claims}/{claim['metadata']['name']}", {"metadata": {"finalizers": None}})
    kubectl(cluster, "wait", "--for=delete", f"namespace/{NAMESPACE}", f"namespace/{ENROLLED}", "--timeout=90s")
    kinds = kubectl(cluster, "api-resources", "--verbs=list", "--output=name").split()
    ours = ("get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/part-of=fuseboard", "-o", "name")
    assert kubectl(cluster, *ours, "--ignore-not-found") == ""


def pods(built: Iterable[Json]) -> Iterator[Json]:
    """Yield a Pod for everything that makes pods, as its controller would make it."""
    for each in built:
        template = deepcopy(each.get("spec", {}).get("template"))
        if template is None or each["kind"] == "SinkBinding":
            continue
        spec = template["spec"]
        spec.pop("containerConcurrency", None)
        if "timeoutSeconds" in spec:
            spec["terminationGracePeriodSeconds"] = spec.pop("timeoutSeconds")
        claims = each["spec"].get("volumeClaimTemplates", ())
        names = [claim["metadata"]["name"] for claim in claims]
        spec["volumes"] = [
            *spec.get("volumes", ()),
            *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names),
        ]
        meta = {"name": each["metadata"]["name"], "labels": template["metadata"]["labels"]}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def strings(value: Any, key: str) -> Iterator[str]:  # noqa: ANN401  - JSON
    """Yield what stands under a key, wherever it is."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, str):
                yield inner
            yield from strings(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


def names(built: Iterable[Json], kind: str) -> set[str]:
    """Return the names of a kind."""
    return {each["metadata"]["name"] for each in built if each["kind"] == kind}


class TestBuilding:
    """What kustomize makes of every combination."""

    @pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
    def test_every_combination_builds_and_names_only_what_it_has(
        self, kustomize: Kustomize, combination: Combination
    ) -> None:
        """Whatever an object refers to is among the objects, in the namespace that was asked for."""
        built = kustomize.combine(combination)

        for each in built:
            if each["kind"] not in CLUSTER_WIDE:
                assert each["metadata"]["namespace"] == NAMESPACE, each["metadata"]["name"]
        spaces = [pod["spec"] for pod in pods(built)]
        assert set(strings(spaces, "serviceAccountName")) <= names(built, "ServiceAccount")
        assert set(strings(spaces, "priorityClassName")) <= names(built, "PriorityClass")
        maps = {ref["name"] for ref in found(spaces, "configMap")} - MADE_BY_OTHERS
        assert maps <= names(built, "ConfigMap")
        secrets = {ref["name"] for ref in found(spaces, "secretKeyRef")}
        assert secrets == {"fuseboard-store"}
        assert names(built, "Secret") == (set() if "external-redis" in combination.components else secrets)

    @pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
    def test_every_event_has_somewhere_to_go(self, kustomize: Kustomize, combination: Combination) -> None:
        """Subscribers, dead-letter sinks and the sink of the sources are objects of the same combination."""
        built = kustomize.combine(combination)
        there = {(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in built}
        refs = [
            ref for each in built if each["kind"] in {"Broker", "Trigger", "SinkBinding"} for ref in found(each, "ref")
        ]

        assert {(ref["apiVersion"], ref["kind"], ref["name"]) for ref in refs} <= there
        assert refs

    @pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
    def test_all_components_leave_the_containers_alone(self, kustomize: Kustomize, combination: Combination) -> None:
        """However a function is run, its container is the same one."""
        plain = {pod["metadata"]["name"]: pod["spec"]["containers"] for pod in pods(kustomize.build(LOCAL))}
        combined = {pod["metadata"]["name"]: pod["spec"]["containers"] for pod in pods(kustomize.combine(combination))}

        gone = {"valkey"} if "external-redis" in combination.components else set()
        assert combined == {name: containers for name, containers in plain.items() if name not in gone}

    def test_without_serving_nothing_of_serving_is_left(self, kustomize: Kustomize) -> None:
        """With functions as Deployments no object, and no reference, needs Knative Serving."""
        built = kustomize.combine(Combination(PRODUCTION, ("functions-as-deployments",)))

        assert SERVING not in set(strings(built, "apiVersion"))

    def test_production_keeps_warm_what_must_answer_at_once(self, kustomize: Kustomize) -> None:
        """Webhook, breaker and failover have two pods each; others may scale to zero."""
        key = "autoscaling.knative.dev/min-scale"
        services = [each for each in kustomize.build(PRODUCTION) if each["apiVersion"] == SERVING]
        scales = {
            each["metadata"]["name"]: each["spec"]["template"]["metadata"].get("annotations", {}).get(key)
            for each in services
        }

        assert scales == {"alertmanager": "2", "breaker": "2", "failover": "2", "journal": None, "status": None}

    def test_flux_waits_for_what_it_has_applied(self, kustomize: Kustomize) -> None:
        """The path of Fuseboard's Kustomization is here, and each health check is about an object of it."""
        (kustomization,) = (
            each
            for each in kustomize.build("overlays/flux")
            if each["metadata"]["name"] == "fuseboard" and "path" in each["spec"]
        )
        path = kustomization["spec"]["path"].removeprefix("./knative/")
        there = {
            (each["apiVersion"], each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))
            for each in kustomize.build(path)
        }

        checks = kustomization["spec"]["healthChecks"]
        assert {(each["apiVersion"], each["kind"], each["name"], each["namespace"]) for each in checks} <= there

    @pytest.mark.parametrize("name", COMPONENTS)
    def test_every_component_is_tried(self, name: str) -> None:
        """No component of the folder is left out of the combinations."""
        assert {path.name for path in (KNATIVE / "components").iterdir()} == set(COMPONENTS)
        assert any(name in each.components for each in COMBINATIONS)


def found(value: Any, key: str) -> Iterator[Json]:  # noqa: ANN401  - JSON
    """Yield the objects that stand under a key, wherever it is."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, dict):
                yield inner
            yield from found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


class TestOnTheServer:
    """What the API server, with the real schemas, says to the manifests."""

    @pytest.mark.usefixtures("priority")
    @pytest.mark.parametrize("combination", ON_THE_SERVER, ids=str)
    def test_every_object_is_accepted_by_strict_validation(
        self, cluster: Cluster, kustomize: Kustomize, namespace: str, combination: Combination
    ) -> None:
        """No field is unknown, doubled or wrong, by the schemas of Kubernetes and of Knative, Flux and Prometheus."""
        for each in kustomize.combine(combination, namespace):
            cluster.api.apply(each, dryRun="All")

    @pytest.mark.parametrize("path", ["overlays/local", "overlays/production", "overlays/flux"])
    def test_every_overlay_is_accepted_as_it_is(self, cluster: Cluster, kustomize: Kustomize, path: str) -> None:
        """Each object of an overlay is accepted in the namespace that it names."""
        built = kustomize.build(path)
        for name in sorted(set(strings([each["metadata"] for each in built], "namespace"))):
            cluster.api.apply(manifests.namespace(name))

        for each in built:
            cluster.api.apply(each, dryRun="All")

    def test_an_enrolled_namespace_and_its_alerts_are_accepted(
        self, cluster: Cluster, kustomize: Kustomize, namespace: str
    ) -> None:
        """The Roles, and the receiver for the Prometheus Operator, are accepted in the workloads' namespace."""
        built = kustomize.overlay("enrolled", ["prometheus-operator/enrolled"], namespace)

        assert "AlertmanagerConfig" in {each["kind"] for each in built}
        for each in built:
            cluster.api.apply(each, dryRun="All")

    def test_a_misspelt_field_is_refused(self, cluster: Cluster, kustomize: Kustomize, namespace: str) -> None:
        """The validation is one: an object of any kind with a field that there is not is refused for it.

        But for Triggers: their schema lets anything through. Ours are read by the local broker, which does not.
        """
        tried: dict[str, bool] = {}
        for each in [it for combination in ON_THE_SERVER for it in kustomize.combine(combination, namespace)]:
            if "spec" not in each or each["kind"] == "Trigger":
                continue
            each["spec"]["misspelt"] = "x"
            kind = f"{each['apiVersion'].partition('/')[0]} {each['kind']}"
            try:
                cluster.api.apply(each, dryRun="All")
            except RefusedError as refusal:
                tried[kind] = "misspelt" in str(refusal)
            else:
                tried[kind] = False

        assert [kind for kind, refused in tried.items() if not refused] == []
        assert {"serving.knative.dev Service", "eventing.knative.dev Broker", "apps Deployment"} <= set(tried)

    @pytest.mark.usefixtures("priority")
    @pytest.mark.parametrize("combination", ON_THE_SERVER, ids=str)
    def test_every_pod_is_restricted(
        self, cluster: Cluster, kustomize: Kustomize, restricted: str, combination: Combination
    ) -> None:
        """Pod Security's strictest level lets every pod in, however it is run."""
        made = list(pods(kustomize.combine(combination, restricted)))
        for pod in made:
            pod["metadata"]["namespace"] = restricted
            cluster.api.create(pod, dryRun="All")
        assert len(made) >= 6

    @pytest.mark.parametrize(
        "loosen",
        [
            lambda context: context.update(runAsNonRoot=False),
            lambda context: context.update(allowPrivilegeEscalation=True),
            lambda context: context.pop("capabilities"),
            lambda context: context.pop("seccompProfile"),
        ],
        ids=["root", "escalation", "capabilities", "seccomp"],
    )
    def test_a_looser_pod_is_refused(
        self, cluster: Cluster, kustomize: Kustomize, restricted: str, loosen: Callable[[Json], object]
    ) -> None:
        """The check is one: each of these alone keeps a pod out."""
        pod = next(pods(each for each in kustomize.build(LOCAL) if each["apiVersion"] == SERVING))
        pod["metadata"]["namespace"] = restricted
        loosen(pod["spec"]["containers"][0]["securityContext"])

        with pytest.raises(RefusedError, match="violates PodSecurity"):
            cluster.api.create(pod, dryRun="All")


@pytest.mark.usefixtures("installed")
class TestInstalled:
    """The overlay for a cluster to play with, applied for real."""

    def test_the_broker_and_its_triggers_become_ready(self, cluster: Cluster) -> None:
        """Knative Eventing takes our Broker and Triggers, once Serving says where the functions are."""
        services = cluster.api.get(f"/apis/{SERVING}/namespaces/{NAMESPACE}/services")["items"]
        for each in services:
            name = each["metadata"]["name"]
            url = f"http://{name}.{NAMESPACE}.svc.cluster.local"
            status = {"address": {"url": url}, "url": url, "conditions": [{"type": "Ready", "status": "True"}]}
            path = f"/apis/{SERVING}/namespaces/{NAMESPACE}/services/{name}/status"
            cluster.api.patch(path, {"status": status})

        eventing = f"/apis/eventing.knative.dev/v1/namespaces/{NAMESPACE}"
        cluster.api.wait(f"{eventing}/brokers/fuseboard", "Ready", lambda it: has_condition(it, "Ready"), timeout_s=60)
        for name in ("breaker", "failover", "journal", "status"):
            trigger = cluster.api.wait(
                f"{eventing}/triggers/{name}", "Ready", lambda it: has_condition(it, "Ready"), timeout_s=60
            )
            assert trigger["status"]["deadLetterSinkUri"] == f"http://deadletter.{NAMESPACE}.svc.cluster.local"

    def test_sources_and_store_run(self, cluster: Cluster) -> None:
        """Their pods pass the namespace's own Pod Security, which enforces ``restricted``, and become ready."""
        apps = f"/apis/apps/v1/namespaces/{NAMESPACE}"
        for path in (f"{apps}/deployments/sources", f"{apps}/statefulsets/valkey"):
            cluster.api.wait(path, "ready", all_ready, timeout_s=60)

    def test_a_breaker_of_the_example_is_a_resource(self, cluster: Cluster) -> None:
        """With the kind installed, the first example is applied as it stands, and kubectl knows its short name."""
        kubectl(cluster, "wait", "--for=condition=Established", "crd/circuitbreakers.fuseboard.dev", "--timeout=30s")
        kubectl(cluster, "apply", "-f", str(KNATIVE.parent / "examples" / "01-one-alert" / "breakers.yaml"))

        assert "login" in kubectl(cluster, "get", "cb", "-n", ENROLLED)

    @pytest.mark.parametrize("account", ACCOUNTS)
    def test_an_account_may_do_what_it_needs_where_it_is_enrolled_and_nothing_else(
        self, cluster: Cluster, account: str
    ) -> None:
        """Every verb on everything worth having, in four places: the answers are the table, to the letter."""
        asked = [
            (space, group, resource, verb)
            for space in SPACES
            for group, resource, verb in [*((*each, verb) for each in ASKED for verb in VERBS), *RISING]
        ]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda each: may(cluster, account, *each), asked))

        allowed = {each for each, yes in zip(asked, answers, strict=True) if yes}
        everywhere = {(space, *rest) for who, *rest in MAY_EVERYWHERE if who == account for space in SPACES}
        assert allowed == {(ENROLLED, *rest) for who, *rest in MAY if who == account} | everywhere

    @pytest.mark.parametrize("account", ACCOUNTS)
    @pytest.mark.parametrize("space", [NAMESPACE, ENROLLED, ELSEWHERE])
    def test_no_rule_grants_more_than_the_table(self, cluster: Cluster, account: str, space: str) -> None:
        """The API server's own list of an account's rules has nothing that nobody thought to ask for."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": space},
        }
        with cluster.acting_as(f"system:serviceaccount:{NAMESPACE}:{account}") as api:
            status = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)["status"]
        granted = {
            (account, group, resource, verb)
            for rule in status["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            if not resource.startswith("selfsubject")
        }

        assert not status["incomplete"]
        expected = MAY_EVERYWHERE | (MAY if space == ENROLLED else set())
        assert granted == {each for each in expected if each[0] == account}

    def test_failover_is_nobodys_deputy(self, cluster: Cluster) -> None:
        """By its own token it turns a Service of an enrolled namespace, and is refused whatever else is tried."""
        for space in (ENROLLED, ELSEWHERE):
            cluster.api.apply(service(space))
        rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        role = {"metadata": {"name": "more"}, "rules": [rule]}
        review = {"spec": {"audiences": ["api"]}}
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ENROLLED}"
        refused: tuple[tuple[str, str, Json | None], ...] = (
            ("PATCH", f"/api/v1/namespaces/{ELSEWHERE}/services/web", {"spec": {"selector": {"app": "mine"}}}),
            ("PUT", f"/api/v1/namespaces/{ENROLLED}/services/web", service(ENROLLED)),
            ("DELETE", f"/api/v1/namespaces/{ENROLLED}/services/web", None),
            ("GET", f"/api/v1/namespaces/{ENROLLED}/services", None),
            ("GET", "/api/v1/services", None),
            ("GET", "/api/v1/pods", None),
            ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/fuseboard-store", None),
            ("GET", f"/api/v1/namespaces/{ENROLLED}/secrets", None),
            ("POST", f"/api/v1/namespaces/{ENROLLED}/pods/web/exec?command=id&stdout=1", None),
            ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/sources/token", review),
            ("PATCH", f"{rbac}/roles/fuseboard-failover", {"rules": [rule]}),
            ("POST", f"{rbac}/roles", role),
        )
        with cluster.acting_as(f"system:serviceaccount:{NAMESPACE}:failover") as api:
            api.patch(f"/api/v1/namespaces/{ENROLLED}/services/web", {"spec": {"selector": {"app": "standby"}}})
            for method, path, body in refused:
                kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
                with pytest.raises(RefusedError) as refusal:
                    api.request(method, path, body, content_type=kind)
                assert refusal.value.status == 403, (method, path)

    def test_the_watcher_watches_events_of_an_enrolled_namespace(self, cluster: Cluster) -> None:
        """By its own token it lists and watches them there; elsewhere it is refused."""
        with cluster.acting_as(f"system:serviceaccount:{NAMESPACE}:sources") as api:
            version = api.get(f"/api/v1/namespaces/{ENROLLED}/events")["metadata"]["resourceVersion"]
            api.get(f"/api/v1/namespaces/{ENROLLED}/events", watch="1", resourceVersion=version, timeoutSeconds="1")
            for path in (
                f"/api/v1/namespaces/{ELSEWHERE}/events",
                "/api/v1/events",
                f"/api/v1/namespaces/{ELSEWHERE}/pods",
                f"/api/v1/namespaces/{ENROLLED}/services",
            ):
                with pytest.raises(RefusedError, match="cannot list"):
                    api.get(path)

    def test_a_function_without_business_there_has_no_say(self, cluster: Cluster) -> None:
        """Even with a token of its own, which its pod does not get, the breaker's account can do nothing."""
        with cluster.acting_as(f"system:serviceaccount:{NAMESPACE}:breaker") as api:
            for path in (f"/api/v1/namespaces/{ENROLLED}/services/web", f"/api/v1/namespaces/{NAMESPACE}/pods"):
                with pytest.raises(RefusedError, match="cannot"):
                    api.get(path)


class TestBesideFlux:
    """Two write to one Service: Flux what Git has, Fuseboard the selector."""

    def test_by_force_flux_would_take_the_selector_back(self, cluster: Cluster, namespace: str) -> None:
        """Why the selector must be left out: a forced server-side apply wins, but never over the fence."""
        path = moved(cluster, namespace)

        as_flux(cluster, service(namespace))

        found = cluster.api.get(path)
        assert found["spec"]["selector"] == {"app": "web"}
        assert found["metadata"]["annotations"]["breaker.fuseboard.dev/web"] == "{}"

    def test_with_the_selector_ignored_flux_mends_the_rest_and_moves_no_traffic(
        self, cluster: Cluster, namespace: str
    ) -> None:
        """Flux copies an ignored field that it alone applies from the live object: the move stays, a port is mended."""
        path = moved(cluster, namespace)
        cluster.api.patch(path, {"spec": {"ports": [{"port": 80, "targetPort": 9}]}})

        adopted = service(namespace)
        adopted["spec"]["selector"] = cluster.api.get(path)["spec"]["selector"]
        as_flux(cluster, adopted)

        found = cluster.api.get(path)
        assert found["spec"]["selector"] == {"app": "standby"}
        assert [port["targetPort"] for port in found["spec"]["ports"]] == [8080]

    def test_fuseboard_owns_what_it_moved_by_update(self, cluster: Cluster, namespace: str) -> None:
        """The field's manager is ``fuseboard``, by Update: that is what makes Flux adopt, not strip."""
        found = cluster.api.get(moved(cluster, namespace))
        managers = {each["manager"]: each for each in found["metadata"]["managedFields"]}

        assert managers["fuseboard"]["operation"] == "Update"
        assert "f:selector" in managers["fuseboard"]["fieldsV1"]["f:spec"]
        assert managers["kustomize-controller"]["operation"] == "Apply"


class TestUninstall:
    """Nothing is left."""

    def test_deleting_production_leaves_nothing_behind(self, cluster: Cluster) -> None:
        """Installed and deleted with kubectl, its volumes go with its namespace."""
        overlay = "overlays/production"
        kubectl(cluster, "apply", "--server-side", "-k", str(KNATIVE / overlay))
        for claim in ("data-valkey-0", "dead-letters-deadletter-0"):
            cluster.api.wait(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{claim}", "there", bool)

        uninstall(cluster, overlay)


def all_ready(workload: Json) -> bool:
    """Tell whether as many pods are ready as are wanted."""
    return bool(workload.get("status", {}).get("readyReplicas") == workload["spec"]["replicas"])


def may(cluster: Cluster, account: str, space: str, group: str, resource: str, verb: str) -> bool:
    """Ask the API server whether an account may do something."""
    kind, _, sub = resource.partition("/")
    attributes = {"namespace": space, "group": group, "resource": kind, "subresource": sub, "verb": verb}
    spec = {
        "user": f"system:serviceaccount:{NAMESPACE}:{account}",
        "groups": ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"],
        "resourceAttributes": attributes,
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = cluster.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def service(space: str) -> Json:
    """Return a Service as Git has it."""
    meta = {"name": "web", "namespace": space, "labels": {"fuseboard.dev/routed": "true"}}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def as_flux(cluster: Cluster, manifest: Json) -> None:
    """Apply a manifest as Flux's kustomize-controller does."""
    cluster.api.apply(manifest, fieldManager="kustomize-controller")


def moved(cluster: Cluster, space: str) -> str:
    """Let Flux make a Service, and Fuseboard move its traffic; return its path."""
    as_flux(cluster, service(space))
    path = f"/api/v1/namespaces/{space}/services/web"
    patch = {
        "metadata": {"annotations": {"breaker.fuseboard.dev/web": "{}"}},
        "spec": {"selector": {"app": "standby"}},
    }
    cluster.api.request("PATCH", path, patch, content_type="application/merge-patch+json", fieldManager="fuseboard")
    return path
