"""Whoever is asked answers in time, in size, at its own address, or not at all."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.errors import CannotStart, Unavailable
from fuseboard.http_client import HttpClient, HttpResponse
from fuseboard.testing.http_server import answering
from fuseboard.testing.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fuseboard.testing.http_server import Answering, ReceivedRequest


@contextmanager
def asker(answer: Answering, token_file: Path | None = None, **options: Any) -> Iterator[HttpClient]:  # noqa: ANN401  - of it
    """Return one that asks a server that answers so."""
    with answering(answer) as url:
        found = HttpClient(url + "/prefix/", token_file, deadline_s=0.5, **options)
        yield found
        found.close()


def trickle(request: ReceivedRequest) -> None:
    """Send a byte now and then, for ever."""
    request.send_response(200)
    request.end_headers()
    for _ in range(100):
        request.wfile.write(b".")
        time.sleep(0.1)


def test_an_answer_is_what_was_sent() -> None:
    """Below the path of the URL, with its fields, whatever its status."""
    with asker(lambda request: request.answer(request.path.encode(), 418)) as one:
        assert one.get("/api", {"query": 'a="b" + 1'}) == HttpResponse(418, b"/prefix/api?query=a%3D%22b%22+%2B+1")


def test_the_connection_is_kept() -> None:
    """Asked again and again, even after answers that were given up: none is lost to the pool."""
    with asker(
        lambda request: request.answer(b"x" * (11 if request.path.endswith("long") else 10)), max_bytes=10
    ) as one:
        for _ in range(5):
            with pytest.raises(Unavailable, match="more than 10 bytes"):
                one.get("/long")
            assert one.get("/short").body == b"x" * 10


@pytest.mark.parametrize("answer", [trickle, lambda _: time.sleep(10)], ids=["trickle", "silence"])
def test_what_takes_too_long_is_no_answer(answer: Answering) -> None:
    """Neither silence nor a byte now and then."""
    began = time.monotonic()
    with asker(answer) as one, pytest.raises(Unavailable, match="answer"):
        one.get("/")
    assert time.monotonic() - began < 9


def test_nobody_there_is_no_answer() -> None:
    """And the message says who."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=url):
        HttpClient(url).get("/")


def test_the_token_is_read_each_time_and_goes_to_its_address_only(tmp_path: Path) -> None:
    """It is renewed in its file; a redirect is not followed."""
    tokens: list[str | None] = []

    def answer(request: ReceivedRequest) -> None:
        tokens.append(request.headers["Authorization"])
        request.answer(status=302, Location=f"http://localhost:{free_port()}/elsewhere")

    file = tmp_path / "token"
    with asker(answer, file) as one:
        for token in ("first\n", "second"):
            file.write_text(token)
            assert one.get("/").status == 302
        file.unlink()
        with pytest.raises(Unavailable, match="token"):
            one.get("/")
        file.write_text("two\nlines")
        with pytest.raises(Unavailable):
            one.get("/")
    assert tokens == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://there", "", "/metrics"])
def test_what_is_no_url_is_said_at_the_start(url: str) -> None:
    """With one that is."""
    with pytest.raises(CannotStart, match="such as http://"):
        HttpClient(url)


@pytest.mark.parametrize(("status", "hint"), [(401, "token"), (403, "may not"), (404, "path"), (500, "answers 500")])
def test_a_status_that_helps_nobody_has_a_hint(status: int, hint: str) -> None:
    """What to look at."""
    assert hint in HttpResponse(status, b"").hint
