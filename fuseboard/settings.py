"""The settings of an installation: the only reader of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_CLUSTER: Final = "in-cluster"
"""Instead of a kubeconfig: the cluster of this pod, by its own ServiceAccount."""


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of an installation, handed to every entry point."""

    redis_url: str = ""
    sink: str = ""
    """Where a source sends its events: the broker's address, ``K_SINK`` of a SinkBinding."""
    kubeconfig: str = ""
    """A file or ``IN_CLUSTER``; if empty, steps are rehearsed."""
    state_dir: Path | None = None
    """Where dead letters and a rehearsed cluster are kept."""
    policies: Path | None = None
    """The breaker table: a file of CircuitBreaker documents, or a folder of files.

    If None, the CircuitBreaker resources of the cluster are the table.
    """
    prometheus_url: str = ""
    """The address to ask for the load of targets; if empty, loads are unknown."""
    prometheus_token_file: Path | None = None
    """A file with the bearer token for Prometheus, if needed."""
    alertmanager_url: str = ""
    """The address to ask for firing alerts, or the addresses of a cluster's members, with commas."""
    alertmanager_token_file: Path | None = None

    def need_redis(self) -> str:
        """Return the store's URL.

        Raises:
            CannotStart: the setting is missing.

        """
        if not self.redis_url:
            raise CannotStart("FUSEBOARD_REDIS_URL is not set: give the store's URL, such as redis://127.0.0.1:6379/0")
        return self.redis_url

    def need_sink(self) -> str:
        """Return the broker's address.

        Raises:
            CannotStart: the setting is missing.

        """
        if not self.sink:
            raise CannotStart("K_SINK is not set: give the broker's address, or bind this source with a SinkBinding")
        return self.sink

    def need_state_dir(self) -> Path:
        """Return the directory for dead letters and rehearsals.

        Raises:
            CannotStart: the setting is missing.

        """
        if self.state_dir is None:
            raise CannotStart("FUSEBOARD_STATE_DIR is not set: give a directory on a volume that survives a restart")
        return self.state_dir

    def need_policies(self) -> Path:
        """Return the file or folder of the breaker table.

        Raises:
            CannotStart: the setting is missing.

        """
        if self.policies is None:
            raise CannotStart("FUSEBOARD_POLICIES is not set: give a file of CircuitBreaker documents, or their folder")
        return self.policies


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a pod."""
    found = os.environ if environment is None else environment

    def path(name: str) -> Path | None:
        return Path(found[name]) if found.get(name) else None

    return Settings(
        redis_url=found.get("FUSEBOARD_REDIS_URL", ""),
        sink=found.get("K_SINK", ""),
        kubeconfig=found.get("FUSEBOARD_KUBECONFIG", IN_CLUSTER if "KUBERNETES_SERVICE_HOST" in found else ""),
        state_dir=path("FUSEBOARD_STATE_DIR"),
        policies=path("FUSEBOARD_POLICIES"),
        prometheus_url=found.get("FUSEBOARD_PROMETHEUS_URL", ""),
        prometheus_token_file=path("FUSEBOARD_PROMETHEUS_TOKEN_FILE"),
        alertmanager_url=found.get("FUSEBOARD_ALERTMANAGER_URL", ""),
        alertmanager_token_file=path("FUSEBOARD_ALERTMANAGER_TOKEN_FILE"),
    )


def user_state_dir(environment: Mapping[str, str] | None = None) -> Path:
    """Return where ``fuseboard up`` keeps its state (XDG Base Directory Specification 0.8)."""
    found = os.environ if environment is None else environment
    base = found.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "fuseboard"
