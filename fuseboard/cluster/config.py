"""Connect to a cluster: with a kubeconfig file, with the ServiceAccount of this pod, or to a rehearsal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fuseboard.cluster.answers import reason_of
from fuseboard.cluster.client import FIELD_MANAGER, Kubernetes
from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.errors import CannotStart
from fuseboard.settings import IN_CLUSTER

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

    from fuseboard.cluster import Writable
    from fuseboard.settings import Settings

REHEARSAL_FILE: Final = "rehearsal.json"


def open_cluster(settings: Settings) -> Writable:
    """Return the cluster of the settings; without a kubeconfig, a rehearsal.

    Raises:
        CannotStart: the kubeconfig or the file of an earlier rehearsal cannot be used.

    """
    if not settings.kubeconfig:
        return Rehearsal(settings.state_dir / REHEARSAL_FILE if settings.state_dir else None)
    return Kubernetes(api_client(settings.kubeconfig))


def api_client(kubeconfig: str) -> ApiClient:
    """Return the client for a kubeconfig file, or for ``IN_CLUSTER``; nothing is sent yet.

    Raises:
        CannotStart: the configuration cannot be used.

    """
    from kubernetes import client, config  # noqa: PLC0415  - 0.2 s, for processes with a cluster only
    from yaml import YAMLError  # noqa: PLC0415  - as above

    # The broker retries, not the client. Redirects are not followed, because the credential would go along.
    configuration = client.Configuration(retries=False)
    try:
        _load(kubeconfig, configuration)
    except (config.ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        where = "the ServiceAccount of this pod" if kubeconfig == IN_CLUSTER else f"the kubeconfig {kubeconfig}"
        message = f"{where} cannot be used: {reason_of(error)}: try it with kubectl, or leave it out to rehearse"
        raise CannotStart(message) from error
    connected = client.ApiClient(configuration)
    connected.user_agent = FIELD_MANAGER
    return connected


def _load(kubeconfig: str, configuration: Configuration) -> None:
    from kubernetes import config  # noqa: PLC0415  - as above

    if kubeconfig == IN_CLUSTER:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return
    # The package takes a missing file for an empty configuration.
    if not Path(kubeconfig).is_file():
        raise CannotStart(f"there is no kubeconfig {kubeconfig}: give a file that exists, or leave it out to rehearse")
    config.load_kube_config(  # type: ignore[no-untyped-call]
        kubeconfig, client_configuration=configuration, persist_config=False
    )
