"""Which cluster the settings mean."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import open_cluster
from fuseboard.errors import CannotStart
from fuseboard.settings import IN_CLUSTER, Settings
from fuseboard.testing.api_server import SERVICE, FakeApiServer, kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/api/v1/namespaces/shop/services/login"


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """Serve one Service."""
    with FakeApiServer() as running:
        running.put(SERVICE, {"selector": {"app": "login"}})
        yield running


class TestOpen:
    """Which cluster it is, and what is wrong with it."""

    def test_a_file(self, server: FakeApiServer, tmp_path: Path) -> None:
        """A kubeconfig is acted on."""
        cluster = open_cluster(Settings(kubeconfig=str(kubeconfig(tmp_path, server.url))))
        assert isinstance(cluster, Kubernetes)
        assert cluster.get(PATH)["spec"] == {"selector": {"app": "login"}}

    def test_none(self, tmp_path: Path) -> None:
        """Nothing given, nothing touched, whatever the environment or the home folder has."""
        assert open_cluster(Settings()).rehearses
        assert open_cluster(Settings(state_dir=tmp_path)).rehearses

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """Its name is told, and what to do."""
        with pytest.raises(CannotStart, match=r"there is no kubeconfig .*none: give a file that exists"):
            open_cluster(Settings(kubeconfig=str(tmp_path / "none")))

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "a: b", "current-context: x", '"text"', "clusters: 7", "\x00", "contexts: []\nclusters: []"],
    )
    def test_a_broken_file(self, tmp_path: Path, text: str) -> None:
        """Whatever is in it, the answer is one line."""
        file = tmp_path / "config"
        file.write_text(text)
        with pytest.raises(CannotStart, match="cannot be used") as raised:
            open_cluster(Settings(kubeconfig=str(file)))
        assert "\n" not in str(raised.value)

    def test_not_in_a_cluster(self) -> None:
        """Out of a pod there is no ServiceAccount."""
        with pytest.raises(CannotStart, match="the ServiceAccount of this pod cannot be used"):
            open_cluster(Settings(kubeconfig=IN_CLUSTER))

    def test_a_rehearsal_never_loads_the_client(self) -> None:
        """It takes 0.2 s and 40 MB that only who acts on a cluster should pay."""
        program = (
            "import sys; from fuseboard.cluster.config import open_cluster; from fuseboard.settings import Settings; "
            "open_cluster(Settings()); print('kubernetes' in sys.modules)"
        )
        command = [sys.executable, "-c", program]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))  # noqa: S603  - our own
        assert told.stdout.strip() == "False"

    def test_no_typed_classes(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Even who acts does not load the hundreds of classes of the typed API."""
        file = kubeconfig(tmp_path, server.url)
        program = (
            "import sys; from fuseboard.cluster.config import open_cluster; from fuseboard.settings import Settings; "
            f"open_cluster(Settings(kubeconfig={str(file)!r})).get({PATH!r}); "
            "typed = ('kubernetes.client.api.', 'kubernetes.client.models.'); "
            "print(sum(name.startswith(typed) for name in sys.modules))"
        )
        command = [sys.executable, "-c", program]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))  # noqa: S603  - our own
        assert told.stdout.strip() == "0"
