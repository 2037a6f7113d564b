"""Manifests that the harness applies, and those that its tests need most."""

from tests.cluster.api import Json

SYSTEM = "knative-eventing"
BROKER_CLASS = "MTChannelBasedBroker"


def broker(space: str, name: str = "default") -> Json:
    """Return a Broker, with what the webhook would otherwise fill in."""
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {
            "name": name,
            "namespace": space,
            "annotations": {"eventing.knative.dev/broker.class": BROKER_CLASS},
        },
        "spec": {
            "config": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": "config-br-default-channel",
                "namespace": SYSTEM,
            }
        },
    }


def trigger(space: str, name: str, uri: str, *, event_type: str = "", of: str = "default") -> Json:
    """Return a Trigger that sends events of a type, or all of them, to a URI."""
    wanted = {"filter": {"attributes": {"type": event_type}}} if event_type else {}
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": name, "namespace": space},
        "spec": {"broker": of, "subscriber": {"uri": uri}, **wanted},
    }


def namespace(name: str) -> Json:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(name: str) -> Json:
    """Return an empty ConfigMap of Knative's."""
    meta = {"name": name, "namespace": SYSTEM}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def stand_ins() -> list[Json]:
    """Return what the controllers look at to learn that the data plane runs."""
    services = ("broker-filter", "broker-ingress", "imc-dispatcher")
    deployments = ("imc-dispatcher", "pingsource-mt-adapter")
    return [
        *(manifest for name in services for manifest in _service(name)),
        *map(_deployment, deployments),
    ]


def _service(name: str) -> tuple[Json, Json]:
    meta = {"name": name, "namespace": SYSTEM}
    ports = [{"name": "http", "port": 80}]
    subsets = [{"addresses": [{"ip": "192.0.2.2"}], "ports": ports}]  # loopback is refused
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets},
    )


def _deployment(name: str) -> Json:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "replicas": 0,  # with none wanted, the Deployment is Available
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "dispatcher", "image": "none"}]},
            },
        },
    }
