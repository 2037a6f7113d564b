"""The manifests agree with the code, with one another, and with what was promised."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

import eventsources
import functions
from eventsources.apiserver import KEPT as WATCHED
from fuseboard.cli.commands.serve import _GUNICORN
from fuseboard.cluster.names import list_path, plural
from fuseboard.delivery.modules import names
from fuseboard.delivery.triggers import TriggerSpec, read_triggers
from fuseboard.failover.routes import DRIVERS
from fuseboard.policy.files import load_table
from fuseboard.settings import from_environment
from tests.manifests.reading import KNATIVE, ROOT, SERVING, documents, environment, folder, of_kind, pods

if TYPE_CHECKING:
    from fuseboard.delivery.triggers import Trigger
    from tests.manifests.reading import Manifest

BASE: Final = folder(KNATIVE / "base")
KNATIVE_SERVICES: Final = of_kind(BASE, "Service", SERVING)
ACCOUNTS: Final = of_kind(BASE, "ServiceAccount")
ENROLLED: Final = folder(KNATIVE / "enrolled")
TRIGGERS: Final = read_triggers(KNATIVE / "base")


def _is_watcher(name: str) -> bool:
    """Say whether a source's class runs by itself."""
    module = import_module(f"eventsources.{name}")
    classes = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__)
    return any(hasattr(each, "run") for each in classes)


WATCHERS: Final = set(filter(_is_watcher, names(eventsources)))
RECEIVERS: Final = set(names(eventsources)) - WATCHERS
FUNCTION_DEADLINE_S: Final = 8
HANDED_ON: Final = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "nodes/proxy"}
LOOKING: Final = {"get", "list", "watch"}
RISING: Final = {"escalate", "bind", "impersonate", "*"}


def container_of(spec: Manifest) -> Manifest:
    """Return the one container of a pod."""
    (container,) = spec["containers"]
    return dict(container)


def gunicorn(option: str) -> int:
    """Return the number that ``fuseboard serve`` gives to gunicorn."""
    return int(str(_GUNICORN[option]))


def test_functions_and_receivers_are_the_knative_services() -> None:
    """One file of a function or of a receiver is one Knative Service of its name, in a file of its name."""
    assert set(KNATIVE_SERVICES) == set(names(functions)) | RECEIVERS
    for name in KNATIVE_SERVICES:
        mine = of_kind(documents(KNATIVE / "base" / f"{name}.yaml"), "Service", SERVING)
        assert list(mine) == [name]


def test_each_knative_service_serves_its_module() -> None:
    """The command of a Service names the module that its own name stands for."""
    for name, service in KNATIVE_SERVICES.items():
        package = "eventsources" if name in RECEIVERS else "functions"
        container = container_of(service["spec"]["template"]["spec"])
        assert container["args"] == ["serve", f"{package}.{name}", "--host=0.0.0.0"]


def test_the_sources_are_the_watchers_and_the_relay() -> None:
    """Each watcher of the folder, and the relay, is one container; but the table of a cluster is no file."""
    containers = of_kind(BASE, "Deployment")["sources"]["spec"]["template"]["spec"]["containers"]
    served = {each["args"][1]: each["args"][-1] for each in containers}

    assert set(served) == {
        "fuseboard.delivery.relay",
        *(f"eventsources.{name}" for name in WATCHERS - {"policy_files"}),
    }
    assert len(set(served.values())) == len(served)
    for each in containers:
        assert each["args"][-1] == f"--port={each['ports'][0]['containerPort']}"


def test_who_asks_is_told_where_and_nobody_has_to_be() -> None:
    """Prometheus' and Alertmanager's addresses come from a ConfigMap that need not be there."""
    containers = of_kind(BASE, "Deployment")["sources"]["spec"]["template"]["spec"]["containers"]
    asked = {
        each["name"]: [value["configMapKeyRef"] for value in environment(each).values() if "configMapKeyRef" in value]
        for each in containers
    }

    for name, key in (("prometheus", "FUSEBOARD_PROMETHEUS_URL"), ("alerts", "FUSEBOARD_ALERTMANAGER_URL")):
        assert asked.pop(name) == [{"name": "fuseboard-endpoints", "key": key, "optional": True}]
        assert getattr(from_environment({key: "http://there:9090"}), key.removeprefix("FUSEBOARD_").lower())
    assert not any(asked.values())


def test_what_is_bound_to_the_broker_is_there() -> None:
    """The SinkBinding gives K_SINK to the Deployment of the sources, and it is the broker's address."""
    binding = of_kind(BASE, "SinkBinding")["sources"]["spec"]

    assert binding["subject"]["name"] in of_kind(BASE, "Deployment")
    assert binding["sink"]["ref"]["name"] in of_kind(BASE, "Broker")


def test_every_file_is_in_the_kustomization() -> None:
    """Nothing lies in the folder that is not applied."""
    listed = yaml.safe_load((KNATIVE / "base" / "kustomization.yaml").read_text(encoding="utf-8"))
    files = {path.name for path in (KNATIVE / "base").glob("*.yaml")} - {"kustomization.yaml"}

    assert set(listed["resources"]) == files


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda each: each.name)
def test_every_trigger_delivers_alike(trigger: Trigger) -> None:
    """Ten retries, doubling from 0.2 s, 10 s for each, and what is left over is kept."""
    delivery = trigger.spec.delivery

    assert (delivery.retry, delivery.backoff_policy, delivery.timeout) == (10, "exponential", "PT10S")
    assert sum(delivery.waits_s()) == pytest.approx(204.6)
    assert delivery.dead_letter_sink.ref.name == "deadletter"
    # P4: an in-memory channel gives up on all its subscribers after 900 s, dead letters have the same retries.
    assert (sum(delivery.waits_s()) + 11 * 10) * 2 < 900


def test_the_broker_delivers_as_its_triggers_do() -> None:
    """A Trigger that somebody adds without a delivery gets the same one."""
    broker = of_kind(BASE, "Broker")["fuseboard"]
    deliveries = [each["spec"]["delivery"] for each in of_kind(BASE, "Trigger").values()]

    assert [broker["spec"]["delivery"]] * len(deliveries) == deliveries
    assert "eventing.knative.dev/broker.class" in broker["metadata"]["annotations"]


def test_each_timeout_is_longer_than_the_one_inside() -> None:
    """Function 8 s < delivery 10 s < worker 15 s < its end 20 s < the pod's 30 s: the HTTP contract."""
    ends = {service["spec"]["template"]["spec"]["timeoutSeconds"] for service in KNATIVE_SERVICES.values()}
    ends |= {spec["terminationGracePeriodSeconds"] for name, spec in pods(BASE) if name == "Deployment/sources"}
    (end,) = ends
    chain = [FUNCTION_DEADLINE_S, 10, gunicorn("timeout"), gunicorn("graceful_timeout"), end]

    assert chain == sorted(set(chain))


def test_a_pod_is_not_given_more_events_than_it_has_threads() -> None:
    """What waits, waits in the queue-proxy: a probe behind it would take the pod out of service."""
    for service in KNATIVE_SERVICES.values():
        spec = service["spec"]["template"]["spec"]
        assert 0 < spec["containerConcurrency"] <= gunicorn("threads")
        for probe in ("readinessProbe", "livenessProbe"):
            assert container_of(spec)[probe]["timeoutSeconds"] > FUNCTION_DEADLINE_S


def test_no_function_is_reached_from_outside_the_cluster() -> None:
    """Each Knative Service has the label that keeps it off the public gateway."""
    for service in KNATIVE_SERVICES.values():
        assert service["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"


def test_knative_serving_as_installed_takes_every_field() -> None:
    """No field needs one of Serving's feature flags that are off unless somebody turns them on (config-features)."""
    ours = {
        "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "containerConcurrency",
        "timeoutSeconds", "containers", "volumes",
    }  # fmt: skip
    for service in KNATIVE_SERVICES.values():
        spec = service["spec"]["template"]["spec"]
        assert set(spec) <= ours
        assert {kind for volume in spec["volumes"] for kind in set(volume) - {"name"}} <= {"emptyDir", "projected"}
        fields = [value for value in environment(container_of(spec)).values() if isinstance(value, dict)]
        assert all("secretKeyRef" in each for each in fields)


def test_every_container_is_confined() -> None:
    """Nobody is root or becomes it, nothing can be written but volumes, and there is a limit to everything."""
    for _, spec in pods(BASE):
        shared = spec.get("securityContext", {})
        for container in spec["containers"]:
            confined = shared | container["securityContext"]
            assert confined["runAsNonRoot"]
            assert confined["runAsUser"] > 0
            assert confined["seccompProfile"] == {"type": "RuntimeDefault"}
            assert confined["capabilities"] == {"drop": ["ALL"]}
            assert confined["readOnlyRootFilesystem"]
            assert not confined["allowPrivilegeEscalation"]
            assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert {"readinessProbe", "livenessProbe"} <= set(container)


def test_only_who_asks_the_cluster_has_a_token() -> None:
    """Failover, status and the watchers get one for an hour, in their container alone; nobody gets one by default."""
    assert all(not each["automountServiceAccountToken"] for each in ACCOUNTS.values())
    holders = set()
    for _, spec in pods(BASE):
        assert not spec["automountServiceAccountToken"]
        assert spec["serviceAccountName"] in ACCOUNTS
        tokens = {
            volume["name"]
            for volume in spec.get("volumes", ())
            for source in volume.get("projected", {}).get("sources", ())
            if source.get("serviceAccountToken", {}).get("expirationSeconds") == 3600
        }
        for container in spec["containers"]:
            if tokens & {mount["name"] for mount in container.get("volumeMounts", ())}:
                holders.add(container["name"])
                assert environment(container)["FUSEBOARD_KUBECONFIG"] == "in-cluster"

    assert holders == {"failover", "status", "apiserver", "circuitbreakers"}


def test_each_function_has_an_account_of_its_own() -> None:
    """No two kinds of pods share a ServiceAccount, so that what one may do is nobody else's."""
    used = [spec["serviceAccountName"] for _, spec in pods(BASE)]

    assert len(used) == len(set(used)) == len(ACCOUNTS)


def test_failover_may_do_what_its_route_drivers_need() -> None:
    """The Role of an enrolled namespace is the union of the drivers' PERMISSIONS: no more, no less."""
    role = of_kind(ENROLLED, "Role")["fuseboard-failover"]
    needed = {
        (each.group, each.resource, verb)
        for driver in DRIVERS.values()
        for each in driver.PERMISSIONS
        for verb in each.verbs
    }

    assert granted(role) == needed


def test_sources_may_only_look() -> None:
    """The watchers change nothing in anybody's namespace but CircuitBreakers."""
    role = of_kind(ENROLLED, "Role")["fuseboard-sources"]

    assert {verb for _, _, verb in granted(role)} == LOOKING


def test_status_may_say_and_not_act() -> None:
    """It writes what people read: a status, a finalizer, an Event; of what serves it changes nothing."""
    changes = {each for each in granted(of_kind(ENROLLED, "Role")["fuseboard-status"]) if each[2] not in LOOKING}

    assert changes == {
        ("fuseboard.dev", "circuitbreakers", "patch"),
        ("fuseboard.dev", "circuitbreakers/status", "patch"),
        ("", "events", "create"),
    }


def test_for_the_whole_cluster_only_circuit_breakers_are_granted() -> None:
    """There is one ClusterRole, the sources': our own kind, and whether a namespace is going."""
    (role,), (binding,) = (of_kind(BASE, kind).values() for kind in ("ClusterRole", "ClusterRoleBinding"))

    assert granted(role) == {
        *(("fuseboard.dev", "circuitbreakers", verb) for verb in LOOKING | {"patch"}),
        ("fuseboard.dev", "circuitbreakers/status", "patch"),
        ("", "namespaces", "get"),
    }
    assert [each["name"] for each in binding["subjects"]] == ["sources"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_sources_may_watch_what_they_watch() -> None:
    """Each kind that is listed and watched, and the ReplicaSets and pods that are read one by one; no more."""
    role = of_kind(ENROLLED, "Role")["fuseboard-sources"]
    core, apps = (
        {plural(kind) for kind in WATCHED if list_path(kind).startswith(root)} for root in ("/api/", "/apis/apps/")
    )
    watched = {
        (group, each, verb)
        for group, some in (("", core), ("apps", apps))
        for each in some
        for verb in ("list", "watch")
    }

    assert len(core | apps) == len(WATCHED)
    assert granted(role) == watched | {("", "pods", "get"), ("apps", "replicasets", "get")}


def test_a_probe_reaches_pods_and_nothing_else() -> None:
    """No address is opened for it: metadata services are no pods."""
    probed = of_kind(BASE, "NetworkPolicy")["fuseboard-to-probed"]["spec"]
    (rule,) = probed["egress"]

    assert probed["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "sources"
    assert [set(each) for each in rule["to"]] == [{"namespaceSelector"}]


@pytest.mark.parametrize("path", sorted(KNATIVE.rglob("*.yaml")), ids=lambda path: str(path.relative_to(KNATIVE)))
def test_no_role_hands_on_or_rises(path: Any) -> None:  # noqa: ANN401  - pytest's parameters
    """No wildcard, no secrets, no way into a pod, no way to more rights."""
    for each in documents(path):
        if each["kind"] not in {"Role", "ClusterRole"}:
            continue
        for _, resource, verb in granted(each):
            assert resource not in HANDED_ON | {"*"}
            assert verb not in RISING
        assert all("*" not in rule["apiGroups"] for rule in each["rules"])


def granted(role: Manifest) -> set[tuple[str, str, str]]:
    """Return what a Role grants: group, resource, verb."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_store_forgets_nothing() -> None:
    """The settings that the code asks for at start-up, and those that the outbox relies on (WAITAOF)."""
    (container,) = of_kind(BASE, "StatefulSet")["valkey"]["spec"]["template"]["spec"]["containers"]
    arguments = container["args"]
    settings = dict(zip(arguments[::2], arguments[1::2], strict=True))

    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "always"
    assert settings["--maxmemory-policy"] == "noeviction"
    assert settings["--dir"] in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_who_uses_the_store_is_who_reaches_it() -> None:
    """The two policies around the store name the pods that are given its address, and no others."""
    users = {
        name.partition("/")[2]
        for name, spec in pods(BASE)
        for container in spec["containers"]
        if "FUSEBOARD_REDIS_URL" in environment(container)
    }
    policies = of_kind(BASE, "NetworkPolicy")
    (ingress,) = policies["fuseboard-store"]["spec"]["ingress"]
    (source,) = ingress["from"]

    assert named(policies["fuseboard-to-store"]["spec"]["podSelector"]) == users
    assert named(source["podSelector"]) == users
    assert "namespaceSelector" not in source


def test_all_pods_are_closed_unless_opened() -> None:
    """The default denies both ways, and every pod has the label by which it is found."""
    denied = of_kind(BASE, "NetworkPolicy")["fuseboard-default-deny"]["spec"]
    templates = [each["spec"]["template"] for each in BASE if "template" in each.get("spec", {})]

    assert set(denied) == {"podSelector", "policyTypes"}
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    for template in templates:
        assert denied["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_with_serving_nobody_reaches_a_function_but_through_its_queue_proxy() -> None:
    """What lets traffic in to functions names the queue-proxy's ports, and never the function's own."""
    rules = of_kind(BASE, "NetworkPolicy")["fuseboard-from-serving"]["spec"]["ingress"]
    ports = {port["port"] for rule in rules for port in rule["ports"]}

    assert {8012, 8013} <= ports
    assert 8080 not in ports
    assert all("from" in rule for rule in rules)


def named(selector: Manifest) -> set[str]:
    """Return the names that a selector of pods gives."""
    (values,) = (each["values"] for each in selector["matchExpressions"] if each["key"] == "app.kubernetes.io/name")
    return set(values)


def test_dead_letters_are_never_scaled_away() -> None:
    """One pod, always: with none the letters in its volume are gone, with two there are two files."""
    annotations = KNATIVE_SERVICES["deadletter"]["spec"]["template"]["metadata"]["annotations"]

    assert annotations["autoscaling.knative.dev/min-scale"] == annotations["autoscaling.knative.dev/max-scale"] == "1"


def test_the_first_example_is_for_the_namespace_of_the_local_overlay() -> None:
    """What the README shows on one machine is what it has applied to a cluster, where its namespace is enrolled."""
    overlay = KNATIVE / "overlays" / "local" / "shop"
    (namespace,) = documents(overlay / "namespace.yaml")
    (kustomization,) = documents(overlay / "kustomization.yaml")

    assert "../../../enrolled" in kustomization["resources"]
    for policy in load_table(ROOT / "examples" / "01-one-alert" / "breakers.yaml"):
        assert policy.namespace == namespace["metadata"]["name"] == kustomization["namespace"]


def test_the_local_broker_understands_every_trigger() -> None:
    """Each Trigger of the folder is one that ``fuseboard up`` keeps."""
    assert {each.name for each in TRIGGERS} == set(of_kind(BASE, "Trigger"))
    assert all(isinstance(each.spec, TriggerSpec) for each in TRIGGERS)
