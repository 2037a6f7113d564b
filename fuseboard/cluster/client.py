"""The cluster: reads and writes of single objects, pages of lists, streams of changes, and nothing else.

The only user of the Kubernetes client, and only of its generic half: the typed API classes cost 0.4 s and 40 MB.
Where there is no cluster, a rehearsal stands in.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fuseboard.cluster.rehearsal import Rehearsal
from fuseboard.cluster.stream import Stream
from fuseboard.errors import CannotStart, ClusterUnavailable, Conflict, Expired, NotFound, Refused
from fuseboard.settings import IN_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubernetes.client import ApiClient

    from fuseboard.cluster import Manifest, Writable
    from fuseboard.settings import Settings

FIELD_MANAGER: Final = "fuseboard"
CALL_TIMEOUT_S: Final = 5.0
CHECK_TIMEOUT_S: Final = 1.0
PAGE_TIMEOUT_S: Final = 30.0
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
REHEARSAL_FILE: Final = "rehearsal.json"

_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_GONE: Final = 410
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_LATER: Final = (408, 425, _TOO_MANY)
_TOO_LARGE: Final = "Too large resource version"
"""Said of a version that the API server's store has not come to: it was restored (client-go's ``reflector.go``)."""
_SECONDS: Final = re.compile(r"[0-9]{1,5}")


def open_cluster(settings: Settings) -> Writable:
    """Return the cluster of a kubeconfig file, the one that this runs in, or a rehearsal.

    Raises:
        CannotStart: the kubeconfig, or what is remembered of an earlier rehearsal, cannot be used.

    """
    if not settings.kubeconfig:
        return Rehearsal(settings.state_dir / REHEARSAL_FILE if settings.state_dir else None)
    return Kubernetes(_client(settings.kubeconfig))


class Kubernetes:
    """A real API server."""

    rehearses: ClassVar[bool] = False

    def __init__(
        self, client: ApiClient, *, call_timeout_s: float = CALL_TIMEOUT_S, deadline: float | None = None
    ) -> None:
        """Use this client; nothing is sent yet. ``deadline`` is one of ``time.monotonic()``."""
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._deadline = deadline

    def within(self, seconds: float) -> Kubernetes:
        """See ``Cluster.within``."""
        deadline = time.monotonic() + seconds
        return Kubernetes(self._client, call_timeout_s=self._call_timeout_s, deadline=deadline)

    def get(self, path: str) -> Manifest:
        """See ``Cluster.get``."""
        return self._call("GET", path)

    def list(self, path: str, label_selector: Mapping[str, str]) -> list[Manifest] | None:
        """See ``Cluster.list``."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(label_selector.items()))
        items: list[Manifest] = self._call("GET", path, {"labelSelector": labels}).get("items") or []
        return items

    def patch(self, path: str, body: Manifest) -> None:
        """See ``Cluster.patch``."""
        self._call("PATCH", path, {"fieldManager": FIELD_MANAGER}, body)

    def create(self, path: str, body: Manifest) -> None:
        """See ``Writable.create``."""
        self._call("POST", path, {"fieldManager": FIELD_MANAGER}, body, JSON)

    def apply(self, path: str, body: Manifest, manager: str) -> None:
        """See ``Writable.apply``."""
        self._call("PATCH", path, {"fieldManager": manager, "force": "true"}, body, APPLY_PATCH)

    def check(self) -> None:
        """See ``Cluster.check``."""
        self.within(CHECK_TIMEOUT_S)._call("GET", "/version")  # noqa: SLF001  - of the same class

    def close(self) -> None:
        """Close the connections to the API server."""
        self._client.close()  # type: ignore[no-untyped-call]

    def page(self, path: str, query: Mapping[str, str]) -> Manifest:
        """Return one page of a list, with its ``metadata``.

        Raises:
            Expired: the version or the page asked for is not to be had.

        """
        return Kubernetes(self._client, call_timeout_s=PAGE_TIMEOUT_S)._call("GET", path, query)  # noqa: SLF001

    def stream(self, path: str, query: Mapping[str, str], silence_s: float) -> Stream:
        """Return the lines of an answer that goes on; it ends in ``Stalled`` after so long a silence.

        Raises:
            Expired: the version asked for is not to be had.

        """
        what = f"GET {path}"
        with _errors_translated(what):
            response = self._request(what, (self._call_timeout_s, silence_s), query)
            if response.status == 200:  # noqa: PLR2004  - HTTP's own number
                return Stream(what, response.response)
            content = response.read()
        raise told(what, response.status, response.headers, _decoded(content) or _quoted(content))

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        media: str = MERGE_PATCH,
    ) -> Manifest:
        what = f"{method} {path}"
        timeout_s = self._seconds_left(what)
        with _errors_translated(what):
            response = self._request(what, timeout_s, query, None if body is None else (media, body))
            status, headers, content = response.status, response.headers, response.read()
        answer = _decoded(content)
        if 200 <= status < 300 and answer is not None:  # noqa: PLR2004  - HTTP's successes
            return answer
        raise told(what, status, headers, answer or _quoted(content))

    def _request(
        self,
        what: str,
        timeout_s: float | tuple[float, float],
        query: Mapping[str, str] | None,
        sent: tuple[str, Manifest] | None = None,
    ) -> Any:  # noqa: ANN401  - the client's own response
        method, _, path = what.partition(" ")
        media, body = sent or ("", None)
        header = {"Accept": JSON} | ({"Content-Type": media} if media else {})
        request = self._client.param_serialize(
            method, path, None, list((query or {}).items()), header, body, auth_settings=["BearerToken"]
        )
        return self._client.call_api(*request, _request_timeout=timeout_s)

    def _seconds_left(self, what: str) -> float:
        if self._deadline is None:
            return self._call_timeout_s
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ClusterUnavailable(f"{what}: not sent: the API server was too slow for this step's deadline")
        return min(left, self._call_timeout_s)


def _client(kubeconfig: str) -> ApiClient:
    from kubernetes import client, config  # noqa: PLC0415  - it takes 0.2 s: only who acts on a cluster pays for it
    from yaml import YAMLError  # noqa: PLC0415  - as above

    # Retries are the broker's; and a redirect of the API server's is nothing to follow with a credential.
    configuration = client.Configuration(retries=False)
    try:
        if kubeconfig == IN_CLUSTER:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            _need_file(kubeconfig)
            config.load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, client_configuration=configuration, persist_config=False
            )
    except (config.ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        where = "the ServiceAccount of this pod" if kubeconfig == IN_CLUSTER else f"the kubeconfig {kubeconfig}"
        message = f"{where} cannot be used: {_told(error)}: try it with kubectl, or leave it out to rehearse"
        raise CannotStart(message) from error
    found = client.ApiClient(configuration)
    found.user_agent = FIELD_MANAGER
    return found


def _need_file(kubeconfig: str) -> None:
    # The package takes a missing file for an empty one.
    if not Path(kubeconfig).is_file():
        raise CannotStart(f"there is no kubeconfig {kubeconfig}: give a file that exists, or leave it out to rehearse")


@contextmanager
def _errors_translated(what: str) -> Iterator[None]:
    """Raise Fuseboard's errors instead of the client's.

    Raises:
        ClusterUnavailable: no answer, or no credential to ask with.

    """
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  - it takes 0.2 s: see the module's docs
    from kubernetes.config import ConfigException  # noqa: PLC0415  - as above
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  - as above

    try:
        yield
    except (HTTPError, ApiException, OSError) as error:
        raise ClusterUnavailable(f"{what}: no answer from the API server: {_told(error)}") from error
    except ConfigException as error:
        raise ClusterUnavailable(f"{what}: the credential cannot be renewed: {_told(error)}") from error


def _quoted(content: bytes) -> Manifest:
    return {"message": content[:200].decode(errors="replace")}


def _decoded(content: bytes) -> Manifest | None:
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def told(
    what: str, status: int, headers: Mapping[str, str], answer: Manifest
) -> ClusterUnavailable | Conflict | Expired | Refused:
    """Return the error that a status of the API server is: of an answer, or within a stream."""
    said = f"{what}: {status} {answer.get('message', '')}".rstrip()
    if status == _GONE or _TOO_LARGE in said or (status == _BAD_REQUEST and "resource version" in said.lower()):
        return Expired(said)
    if status == _CONFLICT:
        return Conflict(f"{said}: read it again")
    if status == _UNAUTHORIZED:
        return ClusterUnavailable(f"{said}: the credential is not accepted: renew the token or the kubeconfig")
    if status in _LATER or status >= _SERVER_ERROR:
        wait = headers.get("Retry-After") or ""
        asked = f"{said}: asked to wait {wait} s" if wait else said
        return ClusterUnavailable(asked, wait_s=float(wait) if _SECONDS.fullmatch(wait) else 0.0)
    if not 400 <= status < _SERVER_ERROR:  # noqa: PLR2004  - HTTP's client errors
        return ClusterUnavailable(f"{said}: this is not an API server's answer: check the server in the kubeconfig")
    kind = NotFound if status == _NOT_FOUND else Refused
    return kind(f"{said}: {_remedy(status, str(answer.get('message', '')))}")


def _remedy(status: int, message: str) -> str:
    if "admission" in message or "denied the request" in message:
        return "an admission rule denies it: change the rule, or exempt Fuseboard from it"
    if status == 403:  # noqa: PLR2004  - Forbidden
        return "allow it in the Role of the ServiceAccount that asks"
    if status == _NOT_FOUND:
        return "it does not exist: create it, or correct its name in the policy"
    return "the object cannot be changed like this: compare it with the policy"


def _told(error: Exception) -> str:
    return " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
