"""A small client of the API server: any resource, by its manifest or its path."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeAlias
from urllib.parse import urlencode

import urllib3
import yaml

Json: TypeAlias = dict[str, Any]

FIELD_MANAGER = "fuseboard-tests"
SERVICE_UNAVAILABLE = 503
POLL_S = 0.05
PARALLEL = 8


class RefusedError(Exception):
    """The API server said no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep what a test asks for: the status and the reason."""
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class UnreachableError(Exception):
    """The API server did not answer."""


class NotYetError(TimeoutError):
    """A resource did not come to the state that was waited for; quotes the state it is in."""


class Api:
    """The API server, as one user sees it."""

    def __init__(self, server: str, ca: Path, token: str) -> None:
        """Connect on the first request."""
        self.server = server
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(ca_certs=str(ca), maxsize=PARALLEL, block=True, retries=False, timeout=30.0)
        self._plurals: dict[tuple[str, str], Json] = {}

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> Json:
        """Return the answer; raise RefusedError when it is a refusal."""
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers | {"Content-Type": content_type}
        try:
            answer = self._pool.request(method, url, body=content, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(url) from error
        if answer.status >= 400:
            raise _refusal(answer.status, answer.data)
        return dict(json.loads(answer.data)) if answer.data[:1] == b"{" else {}

    def get(self, path: str, **query: str) -> Json:
        """Read a resource or a list."""
        return self.request("GET", path, **query)

    def create(self, manifest: Json, **query: str) -> Json:
        """Create from a manifest; unknown fields are an error."""
        path = self.path(manifest, named=False)
        return self.request("POST", path, manifest, **{"fieldValidation": "Strict"} | query)

    def would_create(self, manifest: Json) -> Json:
        """Return what a manifest would become; nothing while a policy for it is being loaded."""
        try:
            return self.create(manifest, dryRun="All")
        except RefusedError as refusal:
            if refusal.status != SERVICE_UNAVAILABLE:
                raise
            return {"metadata": {}, "spec": {}}

    def apply(self, manifest: Json, **query: str) -> Json:
        """Apply a manifest on the server's side; unknown fields are an error."""
        rules = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        return self.request(
            "PATCH",
            self.path(manifest),
            manifest,
            content_type="application/apply-patch+yaml",
            **rules | query,
        )

    def apply_all(self, manifests: Iterable[Json]) -> list[Json]:
        """Apply manifests that don't depend on one another."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(self.apply, manifests))

    def patch(self, path: str, change: Json) -> Json:
        """Merge a change into a resource."""
        kind = "application/merge-patch+json"
        return self.request("PATCH", path, change, content_type=kind)

    def delete(self, path: str) -> Json:
        """Delete a resource."""
        return self.request("DELETE", path)

    def wait(self, path: str, what: str, condition: Callable[[Json], bool], *, timeout_s: float = 30) -> Json:
        """Return the resource once the condition holds; one that is not there yet is waited for."""
        deadline = monotonic() + timeout_s
        while True:
            try:
                found = self.get(path)
            except RefusedError as refusal:
                if refusal.reason != "NotFound":
                    raise
                found = {}
            if found and condition(found):
                return found
            if monotonic() > deadline:
                state = yaml.safe_dump(found.get("status", found)) if found else "it does not exist"
                raise NotYetError(f"{path} not {what} within {timeout_s:.0f} s:\n{state}")
            sleep(POLL_S)

    def wait_ready(self, manifest: Json, *, timeout_s: float = 30) -> Json:
        """Return the resource once its condition Ready is true."""
        return self.wait(self.path(manifest), "Ready", ready, timeout_s=timeout_s)

    def path(self, manifest: Mapping[str, Any], *, named: bool = True) -> str:
        """Return the path of a manifest's resource."""
        version = manifest["apiVersion"]
        meta = manifest["metadata"]
        resource = self._resource(version, manifest["kind"])
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        space = f"/namespaces/{meta.get('namespace', 'default')}" if resource["namespaced"] else ""
        return f"{root}{space}/{resource['name']}" + (f"/{meta['name']}" if named else "")

    def _resource(self, version: str, kind: str) -> Json:
        if (version, kind) not in self._plurals:
            root = "/apis" if "/" in version else "/api"
            for resource in self.get(f"{root}/{version}")["resources"]:
                if "/" not in resource["name"]:  # else a subresource
                    self._plurals[version, resource["kind"]] = resource
        try:
            return self._plurals[version, kind]
        except KeyError:
            raise LookupError(f"the API server has no {kind} in {version}: is its CRD installed?") from None


def ready(resource: Json) -> bool:
    """Tell whether the condition Ready is true, and true of the resource's present generation."""
    return has_condition(resource, "Ready")


def has_condition(resource: Json, kind: str) -> bool:
    """Tell whether a condition is true, and true of the resource's present generation."""
    status = resource.get("status", {})
    generation = resource["metadata"].get("generation")
    if status.get("observedGeneration", generation) != generation:
        return False
    return any(
        condition["type"] == kind and condition["status"] == "True"
        for condition in status.get("conditions") or ()  # null in a new CRD
    )


def read_manifests(paths: Iterable[Path]) -> Iterator[Json]:
    """Read every document of YAML files."""
    for path in paths:
        for document in yaml.load_all(path.read_text(), Loader=_Loader):
            if document:
                yield document


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML 1.1, but for its `=`, which to Kubernetes is a string like any other."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_scalar)


def _refusal(status: int, data: bytes) -> RefusedError:
    try:
        said = json.loads(data)
    except ValueError:
        said = {}
    message = said.get("message") or data.decode(errors="replace")
    return RefusedError(status, said.get("reason", ""), message)
