"""The HTTP client of the commands, against servers that answer in unexpected ways."""

from __future__ import annotations

import json

import pytest

from fuseboard.cli.access import known
from fuseboard.cli.client import ByHttp
from fuseboard.errors import FuseboardError, InvalidInput, NotEnrolled, RecordCorrupt
from fuseboard.testing.http_server import answering


def test_a_newer_servers_answer_is_decoded() -> None:
    """Unknown fields are ignored, in a breaker and in a journal line."""
    breaker = json.dumps({"namespace": "shop", "name": "login", "state": "OPEN", "mood": 1}).encode()
    with answering(lambda request: request.answer(breaker)) as url:
        assert ByHttp(url).breaker("shop/login").key == "shop/login"
    with answering(lambda request: request.answer(b'[{"kind": "step", "at": "x", "mood": 1}]')) as url:
        assert [entry.kind for entry in ByHttp(url).journal("shop/login", 1)] == ["step"]


@pytest.mark.parametrize("body", [b"<html>", b'{"state": 5}', b"[]", b"\xff"])
def test_an_answer_that_cannot_be_read_is_a_sentence(body: bytes) -> None:
    """The message names the address, and the two usual reasons."""
    with (
        answering(lambda request: request.answer(body)) as url,
        pytest.raises(RecordCorrupt, match=f"{url}/api/breakers/a/b cannot be read .* older than the running one"),
    ):
        ByHttp(url).breaker("a/b")


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (400, b'{"status": 400, "detail": "limit is 0"}', InvalidInput, "answers 400: limit is 0"),
        (503, b'{"detail": "try later"}', FuseboardError, "answers 503: try later"),
        (502, b"<html>bad gateway</html>", FuseboardError, "answers 502: <html>bad gateway"),
        (404, b'{"detail": "a/b is not there"}', NotEnrolled, "a/b is not there"),
    ],
)
def test_a_refusal_has_the_servers_own_words(status: int, body: bytes, error: type[FuseboardError], says: str) -> None:
    """The detail of a problem document is shown, or else the beginning of the answer."""
    with answering(lambda request: request.answer(body, status)) as url, pytest.raises(error, match=says):
        ByHttp(url).breakers()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["login", "cart"], "a/logn is not in the breaker table: did you mean a/login?"),
        (["cart"], "a/logn is not in the breaker table: `fuseboard status` lists its 1 breakers"),
        ([], "a/logn is not in the breaker table, which is empty"),
    ],
)
def test_a_breaker_that_is_not_there(names: list[str], says: str) -> None:
    """The message suggests similar keys, if there are any."""
    table = json.dumps([{"namespace": "a", "name": name} for name in names]).encode()
    with answering(
        lambda request: request.answer(table) if request.path == "/api/breakers" else request.answer(b"", 404)
    ) as url:
        with pytest.raises(NotEnrolled) as caught:
            known(ByHttp(url), "a/logn")
        assert str(caught.value) == says
