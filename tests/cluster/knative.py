"""Knative Eventing with the in-memory channel, as it is released, without its webhooks."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import admission, dns_proxy
from tests.cluster.api import Api, Json, has_condition, read_manifests
from tests.cluster.manifests import SYSTEM, config_map, namespace, stand_ins, trigger
from tests.cluster.processes import Processes, free_port, takes_connections
from tests.cluster.programs import Installed
from tests.cluster.rows import KNATIVE, SCHEMAS

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """One program of Knative Eventing."""

    program: str
    domain: str
    hosts: tuple[str, ...] = ()  # patterns of the names by which others reach it
    arguments: tuple[str, ...] = ("--disable-ha",)  # no lease to wait for after a restart
    environment: tuple[tuple[str, str], ...] = (("NAMESPACE", SYSTEM),)


PARTS = {
    "eventing-controller": Part("controller", "knative.dev/eventing"),
    "mt-broker-controller": Part("mtchannel_broker", "knative.dev/eventing"),
    "imc-controller": Part("channel_controller", "knative.dev/inmemorychannel-controller"),
    "imc-dispatcher": Part(
        "channel_dispatcher",
        "knative.dev/inmemorychannel-dispatcher",
        ("imc-dispatcher.knative-eventing.svc*", "*-kn-channel.*"),
        environment=(),  # with NAMESPACE it would see the channels of that one only
    ),
    "broker-ingress": Part(
        "ingress",
        "knative.dev/internal/eventing",
        ("broker-ingress.knative-eventing.svc*",),
        arguments=(),
    ),
    "broker-filter": Part(
        "filter",
        "knative.dev/internal/eventing",
        ("broker-filter.knative-eventing.svc*",),
        arguments=(),
    ),
    "pingsource-mt-adapter": Part("mtping", "knative.dev/sources"),
}

# The controllers want to be told images for workloads that nobody here asks them to make.
_IMAGES = (
    "APISERVER_RA_IMAGE",
    "AUTH_PROXY_IMAGE",
    "DISPATCHER_IMAGE",
    "EVENT_TRANSFORM_JSONATA_IMAGE",
    "INTEGRATION_SINK_AWS_S3_IMAGE",
    "INTEGRATION_SINK_AWS_SNS_IMAGE",
    "INTEGRATION_SINK_AWS_SQS_IMAGE",
    "INTEGRATION_SINK_LOG_IMAGE",
    "INTEGRATION_SOURCE_AWS_DDB_STREAMS_IMAGE",
    "INTEGRATION_SOURCE_AWS_S3_IMAGE",
    "INTEGRATION_SOURCE_AWS_SQS_IMAGE",
    "INTEGRATION_SOURCE_TIMER_IMAGE",
)
_IMAGE_MAPS = ("eventing-transformations-images", "eventing-integrations-images")


class Names:
    """Names of Services inside the cluster, and the local ports that stand for them."""

    def __init__(self, file: Path) -> None:
        """Start without names."""
        self.file = file
        self._routes: dict[str, str] = {}
        self._write()

    def point(self, host: str, port: int) -> None:
        """Send what goes to a host, or to a pattern of hosts, to a port of 127.0.0.1."""
        self._routes[host] = f"127.0.0.1:{port}"
        self._write()

    def _write(self) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self._routes))
        new.replace(self.file)  # the proxy never reads half a file


class Knative:
    """A running Knative Eventing."""

    def __init__(self, programs: Mapping[str, Installed], processes: Processes, folder: Path, api: Api) -> None:
        """Start nothing yet."""
        self._programs = programs
        self._processes = processes
        self._api = api
        self.ports = {name: free_port() for name in PARTS}
        self.names = Names(folder / "routes.json")
        self.proxy = free_port()

    def install(self) -> None:
        """Apply the CRDs of all rows, and what Knative's programs look for when they start."""
        crds = [_without_conversion(crd) for crd in self._crds()]
        self._api.apply(namespace(SYSTEM))
        self._api.apply_all([*crds, *self._configuration(), *stand_ins()])
        for crd in crds:
            self._api.wait(
                self._api.path(crd),
                "established",
                lambda found: has_condition(found, "Established"),
                timeout_s=START_TIMEOUT_S,
            )
        self._api.apply_all(admission.trigger_labels())
        probe = trigger("default", "label-probe", "http://127.0.0.1/")
        self._processes.wait(
            "Triggers are labelled",
            lambda: "labels" in self._api.would_create(probe)["metadata"],
            timeout_s=START_TIMEOUT_S,
            log_of="apiserver",
        )

    def start(self, kubeconfig: Path) -> None:
        """Start its programs and the proxy; return when they listen."""
        for name, part in PARTS.items():
            for host in part.hosts:
                self.names.point(host, self.ports[name])
        proxy = [sys.executable, dns_proxy.__file__, str(self.proxy), str(self.names.file)]
        self._processes.start("dns-proxy", proxy)
        for name, part in PARTS.items():
            program = self._programs[KNATIVE.name].program(part.program)
            self._processes.start(name, [program, *part.arguments], self._environment(name, part, kubeconfig))
        for name, port in {"dns-proxy": self.proxy, **self.ports}.items():
            self.wait_listening(name, port)

    def wait_listening(self, name: str, port: int | None = None) -> None:
        """Return when a program takes connections, as after a restart."""
        port = port or self.ports[name]
        self._processes.wait(
            f"{name} listens on {port}",
            lambda: takes_connections(port),
            timeout_s=START_TIMEOUT_S,
            log_of=name,
        )

    def ingress(self, space: str, broker: str = "default") -> str:
        """Return the local URL to post a broker's events to."""
        return f"http://127.0.0.1:{self.ports['broker-ingress']}/{space}/{broker}"

    def _crds(self) -> list[Json]:
        files = [
            file
            for row in (KNATIVE, *SCHEMAS)
            for folder in row.folders
            if "configmaps" not in folder
            for file in self._programs[row.name].manifests(folder)
        ]
        return [it for it in read_manifests(files) if it["kind"] == "CustomResourceDefinition"]

    def _configuration(self) -> list[Json]:
        installed = self._programs[KNATIVE.name]
        folders = [folder for folder in KNATIVE.folders if folder.endswith("configmaps")]
        files = [file for folder in folders for file in installed.manifests(folder)]
        return [*read_manifests(files), *map(config_map, _IMAGE_MAPS)]

    def _environment(self, name: str, part: Part, kubeconfig: Path) -> dict[str, str]:
        return {
            "KUBECONFIG": str(kubeconfig),
            "SYSTEM_NAMESPACE": SYSTEM,
            "POD_NAME": f"{name}-{os.getpid()}",
            "CONTAINER_NAME": name,
            "CONFIG_LOGGING_NAME": "config-logging",
            "CONFIG_OBSERVABILITY_NAME": "config-observability",
            "METRICS_DOMAIN": part.domain,
            "MAX_IDLE_CONNS": "1000",
            "MAX_IDLE_CONNS_PER_HOST": "1000",
            "WEBHOOK_NAME": "inmemorychannel-webhook",
            "WEBHOOK_PORT": str(free_port()),
            "PROFILING_PORT": "0",
            "LISTEN_8080": f"127.0.0.1:{self.ports[name]}",
            "HTTP_PROXY": f"http://127.0.0.1:{self.proxy}",
            "NO_PROXY": "127.0.0.1,localhost",
            **dict.fromkeys(_IMAGES, "none"),
            **dict(part.environment),
        }


def _without_conversion(crd: Json) -> Json:
    crd["spec"].pop("conversion", None)  # it would call a webhook that does not run
    return crd
