"""Answers of the API server, and errors of its client, as errors of Fuseboard."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fuseboard.errors import ClusterUnavailable, Conflict, Expired, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fuseboard.cluster import Manifest

_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_GONE: Final = 410
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_LATER: Final = (408, 425, _TOO_MANY)
_TOO_LARGE: Final = "Too large resource version"
"""The API server's message about a version from its future: its store was restored (client-go's ``reflector.go``)."""
_SECONDS: Final = re.compile(r"[0-9]{1,5}")
_QUOTED_BYTES: Final = 200


def as_error(
    call: str, status: int, headers: Mapping[str, str], answer: Manifest
) -> ClusterUnavailable | Conflict | Expired | Refused:
    """Return the error for a failure status, of a response or within a stream.

    ``call`` is method and path, which begin the message; ``answer`` is a ``Status`` object, or ``quoted`` content.
    """
    message = str(answer.get("message", ""))
    text = f"{call}: {status} {message}".rstrip()
    if status == _GONE or _TOO_LARGE in text or (status == _BAD_REQUEST and "resource version" in text.lower()):
        return Expired(text)
    if status == _CONFLICT:
        return Conflict(f"{text}: read it again")
    if status == _UNAUTHORIZED:
        return ClusterUnavailable(f"{text}: the credential is not accepted: renew the token or the kubeconfig")
    if status in _LATER or status >= _SERVER_ERROR:
        return _unavailable(text, headers.get("Retry-After") or "")
    if not _BAD_REQUEST <= status < _SERVER_ERROR:
        return ClusterUnavailable(f"{text}: this is not an API server's answer: check the server in the kubeconfig")
    kind = NotFound if status == _NOT_FOUND else Refused
    return kind(f"{text}: {_remedy(status, message)}")


@contextmanager
def errors_translated(call: str) -> Iterator[None]:
    """Raise Fuseboard's errors instead of the client's; ``call`` is method and path.

    Raises:
        ClusterUnavailable: there is no answer, or no valid credential.

    """
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  - 0.2 s, for processes with a cluster only
    from kubernetes.config import ConfigException  # noqa: PLC0415  - as above
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  - as above

    try:
        yield
    except (HTTPError, ApiException, OSError) as error:
        raise ClusterUnavailable(f"{call}: no answer from the API server: {reason_of(error)}") from error
    except ConfigException as error:
        raise ClusterUnavailable(f"{call}: the credential cannot be renewed: {reason_of(error)}") from error


def decoded(content: bytes) -> Manifest | None:
    """Return the object in a response; None if the response has none."""
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def quoted(content: bytes) -> Manifest:
    """Return the beginning of a response that is no object, in place of an API server's ``Status``."""
    return {"message": content[:_QUOTED_BYTES].decode(errors="replace")}


def reason_of(error: Exception) -> str:
    """Return the reason of a client's error, on one line."""
    return " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__


def _unavailable(text: str, retry_after: str) -> ClusterUnavailable:
    asked = f"{text}: asked to wait {retry_after} s" if retry_after else text
    return ClusterUnavailable(asked, wait_s=float(retry_after) if _SECONDS.fullmatch(retry_after) else 0.0)


def _remedy(status: int, message: str) -> str:
    if "admission" in message or "denied the request" in message:
        return "an admission rule denies it: change the rule, or exempt Fuseboard from it"
    if status == _FORBIDDEN:
        return "allow it in the Role of the ServiceAccount that asks"
    if status == _NOT_FOUND:
        return "it does not exist: create it, or correct its name in the policy"
    return "the object cannot be changed like this: compare it with the policy"
