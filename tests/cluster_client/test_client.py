"""The cluster: the real client against a real HTTP server, and the rehearsal that stands in for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.cluster.client import Kubernetes, open_cluster
from fuseboard.cluster.rehearsal import Rehearsal, merged
from fuseboard.errors import CannotStart, ClusterUnavailable, Conflict, NotFound, Refused
from fuseboard.settings import IN_CLUSTER, Settings
from fuseboard.testing.api_server import PODS, SERVICE, FakeApiServer, answers, connect, is_slow, kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = "/api/v1/namespaces/shop/events"
PATH = "/api/v1/namespaces/shop/services/login"
ASSUMED = {"metadata": {"name": "login"}, "spec": {"selector": {"app": "login"}}}

values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=2), values, max_size=4)


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
            "import sys; from fuseboard.cluster.client import open_cluster; from fuseboard.settings import Settings; "
            "open_cluster(Settings()); print('kubernetes' in sys.modules)"
        )
        command = [sys.executable, "-c", program]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))  # noqa: S603  - our own
        assert told.stdout.strip() == "False"

    def test_no_typed_classes(self, server: FakeApiServer, tmp_path: Path) -> None:
        """Even who acts does not load the hundreds of classes of the typed API."""
        file = kubeconfig(tmp_path, server.url)
        program = (
            "import sys; from fuseboard.cluster.client import open_cluster; from fuseboard.settings import Settings; "
            f"open_cluster(Settings(kubeconfig={str(file)!r})).get({PATH!r}); "
            "typed = ('kubernetes.client.api.', 'kubernetes.client.models.'); "
            "print(sum(name.startswith(typed) for name in sys.modules))"
        )
        command = [sys.executable, "-c", program]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))  # noqa: S603  - our own
        assert told.stdout.strip() == "0"


def rehearsal(file: Path | None = None) -> Rehearsal:
    """Return a rehearsal that takes the Service for granted."""
    cluster = Rehearsal(file)
    cluster.assume(PATH, ASSUMED)
    return cluster


class TestRehearsal:
    """Stands in for a cluster."""

    def test_what_is_assumed(self) -> None:
        """An object that was never patched is what the caller takes for granted."""
        assert rehearsal().get(PATH)["spec"] == ASSUMED["spec"]

    def test_what_nobody_assumed(self) -> None:
        """An object that is neither assumed nor made does not exist."""
        with pytest.raises(NotFound, match="services/login"):
            Rehearsal().get(PATH)
        with pytest.raises(NotFound, match="services/login"):
            Rehearsal().patch(PATH, {})

    def test_what_was_patched_stays(self) -> None:
        """After a patch it is no longer the assumption that counts."""
        cluster = rehearsal()
        cluster.patch(PATH, {"metadata": {"resourceVersion": "0"}, "spec": {"selector": {"app": None, "x": "y"}}})
        assert cluster.get(PATH)["spec"] == {"selector": {"x": "y"}}

    def test_an_older_version_is_a_conflict(self) -> None:
        """As on a real cluster: or the rehearsal would prove nothing."""
        cluster = rehearsal()
        cluster.patch(PATH, {"metadata": {"resourceVersion": "0"}})
        with pytest.raises(Conflict):
            cluster.patch(PATH, {"metadata": {"resourceVersion": "0"}})

    def test_what_is_created_and_applied_is_there(self) -> None:
        """Created once; applied on top of what is there."""
        cluster = Rehearsal()
        cluster.create(EVENTS, {"metadata": {"name": "e"}, "reason": "x"})
        assert cluster.get(f"{EVENTS}/e")["reason"] == "x"
        with pytest.raises(Conflict):
            cluster.create(EVENTS, {"metadata": {"name": "e"}})
        for each in ({"status": {"a": 1}}, {"status": {"b": 2}}):
            cluster.apply(PATH, {"metadata": {"name": "login"}, **each}, "somebody")
        assert cluster.get(PATH)["status"] == {"a": 1, "b": 2}

    def test_what_is_given_out_is_a_copy(self) -> None:
        """A caller that changes what it read has changed nothing."""
        cluster = rehearsal()
        cluster.get(PATH)["spec"]["selector"]["app"] = "other"
        assert cluster.get(PATH)["spec"] == ASSUMED["spec"]

    def test_pods_are_not_known(self) -> None:
        """Not known is not none."""
        assert Rehearsal().list(PODS, {"app": "login"}) is None

    def test_it_survives_a_restart(self, tmp_path: Path) -> None:
        """The next process goes on with what was patched."""
        file = tmp_path / "made" / "rehearsal.json"
        first = rehearsal(file)
        first.patch(PATH, {"metadata": {"resourceVersion": "0"}, "spec": {"selector": {"app": "standby"}}})
        assert rehearsal(file).get(PATH)["spec"] == {"selector": {"app": "standby"}}

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"metadata": {}}}', '"x"'])
    def test_a_broken_file(self, tmp_path: Path, text: str) -> None:
        """It is named, with what to do."""
        file = tmp_path / "rehearsal.json"
        file.write_text(text)
        with pytest.raises(CannotStart, match="delete it to begin a new one"):
            Rehearsal(file)

    def test_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        """What cannot be kept was not done."""
        (tmp_path / "file").write_text("")
        cluster = rehearsal(tmp_path / "file" / "rehearsal.json")
        with pytest.raises(ClusterUnavailable, match="cannot be kept"):
            cluster.patch(PATH, {"metadata": {"resourceVersion": "0"}, "spec": {"selector": {"x": "y"}}})
        assert cluster.get(PATH)["spec"] == ASSUMED["spec"]


class TestMerged:
    """JSON merge patch, RFC 7396."""

    @pytest.mark.parametrize(
        ("before", "patch", "after"),
        [
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": "foo"}, {"a": {"b": None}}, {"a": {}}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ],
    )
    def test_the_examples_of_the_rfc(
        self, before: dict[str, object], patch: dict[str, object], after: dict[str, object]
    ) -> None:
        """Appendix A, as far as it has objects."""
        assert merged(before, patch) == after

    @given(objects, objects)
    def test_it_is_idempotent_and_leaves_its_inputs(self, before: dict[str, object], patch: dict[str, object]) -> None:
        """Twice is once, and nobody's object is changed under their hands."""
        kept = json.dumps([before, patch])
        once = merged(before, patch)
        assert merged(once, patch) == once
        assert json.dumps([before, patch]) == kept
