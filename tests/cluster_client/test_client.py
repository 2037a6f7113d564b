"""The client of the API server, against a real HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuseboard.errors import ClusterUnavailable, Conflict, NotFound, Refused
from fuseboard.testing.api_server import PODS, SERVICE, FakeApiServer, answers, connect, is_slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = "/api/v1/namespaces/shop/events"
PATH = "/api/v1/namespaces/shop/services/login"


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """Serve one Service."""
    with FakeApiServer() as running:
        running.put(SERVICE, {"selector": {"app": "login"}})
        yield running


class TestKubernetes:
    """Every answer is translated into what its reader must do."""

    def test_the_credential_is_sent(self, server: FakeApiServer, tmp_path: Path) -> None:
        """The token of the kubeconfig goes with every request."""
        connect(tmp_path, server).get(PATH)
        assert server.requests[0].headers["Authorization"] == "Bearer secret"

    def test_lists_by_labels(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Only what has all of the labels."""
        server.pod("a", {"app": "login", "x": "1"})
        server.pod("b", {"app": "login"})
        found = connect(tmp_path, server).list(PODS, {"x": "1", "app": "login"})
        assert found is not None
        assert [pod["metadata"]["name"] for pod in found] == ["a"]
        assert server.requests[0].params["labelSelector"] == "app=login,x=1"

    def test_creates_once(self, server: FakeApiServer, tmp_path: Path) -> None:
        """A second object of the name is a conflict."""
        cluster, event = connect(tmp_path, server), {"metadata": {"name": "e"}, "reason": "x"}
        cluster.create(EVENTS, event)
        assert server.objects[f"{EVENTS}/e"]["reason"] == "x"
        assert server.requests[0].headers["Content-Type"] == "application/json"
        with pytest.raises(Conflict):
            cluster.create(EVENTS, event)

    def test_applies_as_a_manager_of_its_own(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Server-side apply, by force, as JSON: which YAML is."""
        connect(tmp_path, server).apply(PATH, {"metadata": {"name": "login"}, "status": {"a": 1}}, "somebody")
        (request,) = server.requests
        assert request.headers["Content-Type"] == "application/apply-patch+yaml"
        assert (request.params["fieldManager"], request.params["force"]) == ("somebody", "true")
        assert server.applied == [{"metadata": {"name": "login"}, "status": {"a": 1}}]

    @pytest.mark.parametrize(
        ("status", "message", "error", "told"),
        [
            (400, "bad", Refused, "compare it with the policy"),
            (401, "Unauthorized", ClusterUnavailable, "renew the token"),
            (403, "forbidden", Refused, "Role of the ServiceAccount"),
            (403, 'admission webhook "w" denied the request', Refused, "admission rule"),
            (404, "not found", NotFound, "does not exist"),
            (408, "slow", ClusterUnavailable, "408"),
            (409, "modified", Conflict, "read it again"),
            (422, "invalid", Refused, "compare it with the policy"),
            (429, "later", ClusterUnavailable, "429"),
            (500, "failed calling webhook", ClusterUnavailable, "failed calling webhook"),
            (503, "leader changed", ClusterUnavailable, "503"),
            (504, "timeout", ClusterUnavailable, "504"),
            (302, "elsewhere", ClusterUnavailable, "check the server in the kubeconfig"),
        ],
    )
    def test_errors(  # all of one answer
        self, server: FakeApiServer, tmp_path: Path, status: int, message: str, error: type[Exception], told: str
    ) -> None:
        """The message names the request, the answer and the remedy; nothing is sent twice."""
        server.faults["PATCH"].append(answers(status, message))
        with pytest.raises(error) as raised:
            connect(tmp_path, server).patch(PATH, {"metadata": {"resourceVersion": "101"}})
        assert told in str(raised.value)
        assert f"PATCH {PATH}: {status}" in str(raised.value)
        assert len(server.requests) == 1

    def test_the_wait_that_is_asked_for(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Retry-After is told, and not waited for here: the broker and the clock do that."""
        server.respond("get", 429, b"slow down", Retry_After="7")
        with pytest.raises(ClusterUnavailable, match="asked to wait 7 s"):
            connect(tmp_path, server).get(PATH)

    @pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b"", b"null"])
    def test_not_an_api_server(self, server: FakeApiServer, tmp_path: Path, body: bytes) -> None:
        """A proxy's page with status 200 is no answer."""
        server.respond("get", 200, body)
        with pytest.raises(ClusterUnavailable, match="not an API server's answer"):
            connect(tmp_path, server).get(PATH)

    def test_too_slow(self, server: FakeApiServer, tmp_path: Path) -> None:
        """A call that takes longer than its time is given up."""
        server.faults["GET"].append(is_slow(1))
        with pytest.raises(ClusterUnavailable, match="no answer"):
            connect(tmp_path, server, call_timeout_s=0.2).get(PATH)

    def test_past_the_deadline_nothing_is_sent(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Whoever would have to answer too late does not begin."""
        with pytest.raises(ClusterUnavailable, match="not sent"):
            connect(tmp_path, server).within(0).get(PATH)
        assert server.requests == []

    def test_check(self, server: FakeApiServer, tmp_path: Path) -> None:
        """An answer of any API server will do."""
        connect(tmp_path, server).check()
        assert server.requests[0].url.path == "/version"
