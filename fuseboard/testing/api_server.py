"""A Kubernetes API server of kmock's, in a thread of its own, for clients that block.

kmock brings the server, the paths and the errors. Added here is what the fence relies on: a patch under a
``resourceVersion`` that is not the current one is a conflict, and lists answer to label selectors.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from copy import deepcopy
from threading import Thread
from typing import TYPE_CHECKING, Self

from kmock import (
    KubernetesError,
    KubernetesObjectNotFoundError,
    KubernetesScaffold,
    Payload,
    Request,
    Server,
    headers,
)

from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import api_client
from fuseboard.cluster.rehearsal import merged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path
    from threading import Event

    from fuseboard.cluster import Manifest

    Fault = Callable[["FakeApiServer", Request], Awaitable[Manifest | None]]
    """The effect of a fault on a request; None continues with the normal answer."""

SERVICE = "/api/v1/namespaces/shop/services/login"
PODS = "/api/v1/namespaces/shop/pods"


class FakeApiServer:
    """Serves objects by path; keeps every request and every applied patch."""

    def __init__(self) -> None:
        """Start without objects."""
        self.objects: dict[str, Manifest] = {}
        self.pods: list[Manifest] = []
        self.requests: list[Request] = []
        self.applied: list[Manifest] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._app: KubernetesScaffold | None = None
        self._server: Server | None = None

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it serves."""
        assert self._server is not None
        return f"http://{self._server.host}:{self._server.port}"

    def put(self, path: str, spec: Manifest, **metadata: object) -> None:
        """Create or replace an object as another client would."""
        version = int(self.objects.get(path, {"metadata": {"resourceVersion": "100"}})["metadata"]["resourceVersion"])
        name = path.rpartition("/")[2]
        self.objects[path] = {
            "metadata": {"name": name, "resourceVersion": str(version + 1), **metadata},
            "spec": deepcopy(spec),
        }

    def pod(self, name: str, labels: Mapping[str, str], *, ready: bool = True, leaving: bool = False) -> None:
        """Create a pod."""
        status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        deletion = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {}
        self.pods.append({"metadata": {"name": name, "labels": dict(labels), **deletion}, "status": status})

    def respond(self, method: str, status: int, body: bytes = b"", **fields: str) -> None:
        """Apply a fault to every request of a method from now on."""
        assert self._app is not None
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        self._app[method].override << status << headers(named) << body

    def edit(self, path: str, patch: Manifest) -> None:
        """Change an object as another client would."""
        before = self.objects[path]
        version = str(int(before["metadata"]["resourceVersion"]) + 1)
        self.objects[path] = merged(merged(before, patch), {"metadata": {"resourceVersion": version}})

    def selector(self, path: str = SERVICE) -> dict[str, str]:
        """Return the selector of a Service."""
        found: dict[str, str] = self.objects[path]["spec"]["selector"]
        return found

    def mark(self, breaker: str = "login", path: str = SERVICE) -> Manifest:
        """Return the annotation of a breaker; empty without an annotation."""
        text = (self.objects[path]["metadata"].get("annotations") or {}).get(f"breaker.fuseboard.dev/{breaker}", "{}")
        found: Manifest = json.loads(text)
        return found

    def count(self, method: str) -> int:
        """Return how many requests of a method came in."""
        return sum(request.method.value.lower() == method.lower() for request in self.requests)

    async def _start(self) -> None:
        self._app = await KubernetesScaffold().__aenter__()
        self._app["get"] << self._get
        self._app["patch"] << self._patch
        self._app["post"] << self._post
        self._server = await Server(self._app).__aenter__()

    async def _stop(self) -> None:
        assert self._server is not None
        assert self._app is not None
        await self._server.__aexit__(None, None, None)
        await self._app.__aexit__(None, None, None)

    async def _get(self, request: Request) -> Payload:
        path = request.url.path
        answer = await self._fault(request)
        if answer is not None:
            return answer
        if path == PODS:
            wanted = dict(part.split("=") for part in request.params["labelSelector"].split(","))
            return {"items": [pod for pod in self.pods if wanted.items() <= pod["metadata"]["labels"].items()]}
        if path == "/version":
            return {"major": "1"}
        return deepcopy(self._object(path))

    async def _patch(self, request: Request) -> Payload:
        answer = await self._fault(request)
        return answer if answer is not None else self.apply(request)

    async def _post(self, request: Request) -> Payload:
        answer = await self._fault(request)
        if answer is not None:
            return answer
        path = f"{request.url.path}/{request.data['metadata']['name']}"
        if path in self.objects:
            raise KubernetesError(status=409, reason="AlreadyExists", message="it exists")
        self.objects[path] = merged(request.data, {"metadata": {"resourceVersion": "1"}})
        return deepcopy(self.objects[path])

    async def _fault(self, request: Request) -> Manifest | None:
        self.requests.append(request)
        faults = self.faults[request.method.value.upper()]
        return await faults.popleft()(self, request) if faults else None

    def apply(self, request: Request) -> Manifest:
        """Apply a patch like the real API server."""
        path, body = request.url.path, request.data
        before = self._object(path)
        if body["metadata"].get("resourceVersion", "") not in ("", before["metadata"]["resourceVersion"]):
            raise KubernetesError(status=409, reason="Conflict", message="the object has been modified")
        self.edit(path, body)
        self.applied.append(body)
        return deepcopy(self.objects[path])

    def _object(self, path: str) -> Manifest:
        if path not in self.objects:
            raise KubernetesObjectNotFoundError
        return self.objects[path]


def answers(status: int, message: str = "") -> Fault:
    """Return a fault: this status."""

    async def fault(_: FakeApiServer, __: Request) -> Manifest | None:
        raise KubernetesError(status=status, reason="Scripted", message=message)

    return fault


def applies_late(seconds: float) -> Fault:
    """Return a fault: the patch is applied, but the answer comes too late."""

    async def fault(server: FakeApiServer, request: Request) -> Manifest | None:
        answer = server.apply(request)
        await asyncio.sleep(seconds)
        return answer

    return fault


def is_slow(seconds: float) -> Fault:
    """Return a fault: the answer is delayed."""

    async def fault(_: FakeApiServer, __: Request) -> Manifest | None:
        await asyncio.sleep(seconds)
        raise KubernetesError(status=503, reason="Scripted", message="too late")

    return fault


def waits_for(event: Event, reached: Event | None = None) -> Fault:
    """Return a fault: the request is held until the event is set, then answered."""

    async def fault(_: FakeApiServer, __: Request) -> Manifest | None:
        if reached is not None:
            reached.set()
        await asyncio.get_running_loop().run_in_executor(None, event.wait, 60)
        return None

    return fault


def meddles(patch: Manifest) -> Fault:
    """Return a fault: another client changes the Service just before the answer."""

    async def fault(server: FakeApiServer, _: Request) -> Manifest | None:
        server.edit(SERVICE, patch)
        return None

    return fault


def passes() -> Fault:
    """Return no fault: the request is answered."""

    async def fault(_: FakeApiServer, __: Request) -> Manifest | None:
        return None

    return fault


def kubeconfig(directory: Path, url: str, name: str = "kubeconfig") -> Path:
    """Write a kubeconfig for a server, and return its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
    file = directory / name
    file.write_text(json.dumps(config))
    return file


def connect(directory: Path, server: FakeApiServer, call_timeout_s: float = 5.0) -> Kubernetes:
    """Return the real client, by way of a kubeconfig."""
    return Kubernetes(api_client(str(kubeconfig(directory, server.url))), call_timeout_s=call_timeout_s)
