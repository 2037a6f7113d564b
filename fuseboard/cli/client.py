"""How the commands talk to a running ``fuseboard up``."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

import click
import urllib3

from fuseboard.errors import FuseboardError, InvalidInput, NotEnrolled

DEFAULT_URL: Final = "http://127.0.0.1:8080"

url_option: Final = click.option("--url", default=DEFAULT_URL, show_default=True, help="Where Fuseboard listens.")


def request(method: str, url: str, body: bytes | None = None, content_type: str = "") -> bytes:
    """Send a request, and return the body of the answer.

    Raises:
        NotEnrolled: there is no such thing there.
        InvalidInput: it was refused; the message is the answer's own.
        FuseboardError: nobody answers there, or not now.

    """
    headers = {"content-type": content_type} if content_type else {}
    try:
        answer = urllib3.request(method, url, body=body, headers=headers, timeout=10.0, retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise FuseboardError(
            f"nobody answers at {url}: is `fuseboard up` running? Give its address with --url"
        ) from error
    if answer.status < 300:  # noqa: PLR2004  - HTTP's own classes
        return answer.data
    if answer.status == HTTPStatus.NOT_FOUND:
        raise NotEnrolled(_detail(answer.data))
    kind = InvalidInput if answer.status < 500 else FuseboardError  # noqa: PLR2004  - HTTP's own classes
    raise kind(f"{url} answers {answer.status}: {_detail(answer.data)}")


def get(url: str) -> Any:  # noqa: ANN401  - JSON
    """Return what the API says."""
    return json.loads(request("GET", url))


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
