"""Leave a cluster running for people to play with; Ctrl-C ends it."""

import argparse
import signal
import sys
from types import FrameType

from tests.cluster.access import user_of
from tests.cluster.cluster import Cluster, running_cluster
from tests.cluster.processes import NotReadyError
from tests.cluster.programs import BuildFailedError
from tests.cluster.toolchain import NoGoToolchainError

ENDING = {signal.SIGINT, signal.SIGTERM}


def main() -> int:
    """Run until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument(
        "--user",
        action="append",
        default=[],
        metavar="NAME",
        help="make a kubeconfig for this user as well, "
        "such as system:serviceaccount:fuseboard:failover; may be repeated",
    )
    users = parser.parse_args().user
    for kind in ENDING:  # SIGINT too: a shell's `&` has it ignored
        signal.signal(kind, _as_interrupt)
    try:
        with running_cluster(map(user_of, users)) as cluster:
            cluster.ready_broker("default")
            # From here on a signal waits for sigwait, and a second one can't break off the end.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
            _describe(cluster, users)
            signal.sigwait(ENDING)
    except KeyboardInterrupt:
        return 0
    except (BuildFailedError, NotReadyError, NoGoToolchainError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _describe(cluster: Cluster, users: list[str]) -> None:
    print(f"kubeconfig  {cluster.kubeconfig()}")
    for user in users:
        print(f"kubeconfig  {cluster.kubeconfig(user)}  ({user})")
    print(f"kubectl     {cluster.kubectl}")
    print(f"broker      {cluster.knative.ingress('default')}")
    print(f"logs        {cluster.processes.logs}")
    print("Ctrl-C ends it.", flush=True)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
