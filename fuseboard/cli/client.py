"""The HTTP client of the commands: the breakers of a running ``fuseboard up``."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import click
import msgspec

from fuseboard.board.view import BreakerDetail, BreakerView
from fuseboard.errors import FuseboardError, InvalidInput, NotEnrolled, RecordCorrupt, Unavailable
from fuseboard.events.wire import STRUCTURED, encode
from fuseboard.http_client import HttpClient
from fuseboard.stores.records import Entry

if TYPE_CHECKING:
    from fuseboard.events.event import Event

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT_S: Final = 10.0
MAX_BYTES: Final = 256 * 1024 * 1024
"""More than the table of ten thousand breakers needs."""

url_option: Final = click.option("--url", default=DEFAULT_URL, show_default=True, help="Address of Fuseboard.")

_SHOWN: Final = 200
"""Characters of an answer that is not JSON."""

Answer = TypeVar("Answer")


class ByHttp:
    """Reads breakers from a running Fuseboard, and sends events to it. See ``Access`` for the methods."""

    def __init__(self, url: str) -> None:
        """``url`` is the address of Fuseboard, such as ``http://127.0.0.1:8080``."""
        self._url = url

    def breakers(self) -> list[BreakerView]:
        """See ``Access.breakers``."""
        return get(f"{self._url}/api/breakers", list[BreakerView])

    def breaker(self, key: str) -> BreakerDetail:
        """See ``Access.breaker``."""
        return get(f"{self._url}/api/breakers/{key}", BreakerDetail)

    def journal(self, key: str, limit: int) -> list[Entry]:
        """See ``Access.journal``."""
        return get(f"{self._url}/api/journal?breaker={key}&limit={limit}", list[Entry])

    def send(self, event: Event) -> None:
        """See ``Access.send``."""
        post(f"{self._url}/events", encode(event, structured=True).body, STRUCTURED)


def get(url: str, kind: type[Answer]) -> Answer:
    """Return the answer of the API, decoded.

    Raises:
        RecordCorrupt: the answer has another shape than expected.
        NotEnrolled, InvalidInput, FuseboardError: as ``post``.

    """
    body = _request(url)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise RecordCorrupt(
            f"the answer of {url} cannot be read ({error}): is this `fuseboard` older than the running one, or is "
            "the address another program's?"
        ) from error


def post(url: str, body: bytes, content_type: str) -> None:
    """Send a body.

    Raises:
        NotEnrolled: the breaker does not exist.
        InvalidInput: the request was refused; the message is the server's.
        FuseboardError: there is no answer, or a server error.

    """
    _request(url, body, {"content-type": content_type})


def _request(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    client = HttpClient(url, deadline_s=TIMEOUT_S, max_bytes=MAX_BYTES)
    try:
        response = client.get("") if body is None else client.post(body, headers or {})
    except Unavailable as error:
        raise FuseboardError(
            f"no answer from {url}: is `fuseboard up` running there? Give another address with --url"
        ) from error
    finally:
        client.close()
    if response.is_success:
        return response.body
    if response.status == HTTPStatus.NOT_FOUND:
        raise NotEnrolled(_detail(response.body))
    kind = InvalidInput if response.status < HTTPStatus.INTERNAL_SERVER_ERROR else FuseboardError
    raise kind(f"{url} answers {response.status}: {_detail(response.body)}")


class _Problem(msgspec.Struct, frozen=True):
    """The part of an ``application/problem+json`` that is shown."""

    detail: str


def _detail(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except msgspec.MsgspecError:
        return body.decode(errors="replace")[:_SHOWN]
