"""A whole cluster: control plane, Knative Eventing, and the folder with all its files."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import knative, manifests
from tests.cluster.access import ADMIN_NAME, User
from tests.cluster.api import Api, Json
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import Processes
from tests.cluster.programs import Installed, Report, default_cache, install, say
from tests.cluster.rows import KUBERNETES, ROWS


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster."""

    folder: Path
    programs: dict[str, Installed]
    processes: Processes
    control_plane: ControlPlane
    knative: knative.Knative
    api: Api

    @property
    def kubectl(self) -> Path:
        """The path of kubectl, of the API server's version."""
        return self.programs[KUBERNETES.name].program("kubectl")

    def kubeconfig(self, user: str = ADMIN_NAME) -> Path:
        """Write a kubeconfig for a user of the token file or an existing ServiceAccount."""
        return self.control_plane.kubeconfig(user)

    @contextmanager
    def acting_as(self, user: str) -> Iterator[Api]:
        """Return the API server as a user sees it."""
        api = self.control_plane.api(user)
        try:
            yield api
        finally:
            api.close()

    def ready_broker(self, namespace: str, name: str = "default") -> Json:
        """Create a Broker; return it when it is Ready."""
        return self.api.wait_ready(self.api.apply(manifests.broker(namespace, name)), timeout_s=60)

    def restart(self, part: str, grace_s: float = 5.0) -> None:
        """Restart one of Knative's programs, without any grace to kill it; return when it listens.

        What an in-memory channel has not delivered yet is lost with its dispatcher.
        """
        self.processes.restart(part, grace_s)
        self.knative.wait_listening(part)


@contextmanager
def running_cluster(
    users: Iterable[User] = (),
    *,
    cache: Path | None = None,
    report: Report = say,
    failed: Callable[[], bool] = lambda: False,
) -> Iterator[Cluster]:
    """Build what is missing and run a cluster; after an error or a failure, keep its files."""
    programs = install(ROWS, cache or default_cache(), report)
    with _folder(report, failed) as folder, Processes(folder) as processes, ExitStack() as closing:
        started = time.monotonic()
        cluster = _start(programs, processes, folder, users)
        closing.callback(cluster.api.close)
        report(f"cluster: ready in {time.monotonic() - started:.0f} s")
        yield cluster


@contextmanager
def _folder(report: Report, failed: Callable[[], bool]) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fuseboard-cluster-"))
    keep = True
    try:
        yield folder
        keep = failed()
    except KeyboardInterrupt:
        keep = False
        raise
    finally:
        if keep:
            report(f"cluster: its logs are kept in {folder / 'logs'}")
        else:
            shutil.rmtree(folder)


def _start(programs: dict[str, Installed], processes: Processes, folder: Path, users: Iterable[User]) -> Cluster:
    control_plane = ControlPlane(programs, processes, folder, users)
    control_plane.start()
    api = control_plane.api()
    eventing = knative.Knative(programs, processes, folder, api)
    eventing.install()
    eventing.start(control_plane.kubeconfig())
    control_plane.start_nodes(api)
    return Cluster(folder, programs, processes, control_plane, eventing, api)
