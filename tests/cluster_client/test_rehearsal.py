"""The rehearsal of a cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.cluster.rehearsal import Rehearsal, merged
from fuseboard.errors import CannotStart, ClusterUnavailable, Conflict, NotFound
from fuseboard.testing.api_server import PODS

if TYPE_CHECKING:
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
