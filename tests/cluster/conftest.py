"""One cluster for all tests; a namespace of its own for each."""

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster import manifests
from tests.cluster.access import User, service_account
from tests.cluster.cluster import Cluster, running_cluster
from tests.cluster.programs import say

USERS = (
    User("nobody-in-particular"),
    service_account("fuseboard", "failover"),
    service_account("fuseboard", "sources"),
)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run a cluster; keep its files if a test failed."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def report(line: str) -> None:
        with capture.global_and_fixture_disabled():
            say(f"\n{line}")

    with running_cluster(USERS, report=report, failed=lambda: bool(request.session.testsfailed)) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Create a namespace; its deletion is not waited for."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.api.apply(manifests.namespace(name))
    yield name
    cluster.api.delete(f"/api/v1/namespaces/{name}")
