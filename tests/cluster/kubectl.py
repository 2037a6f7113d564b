"""The real kubectl, as the administrator."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


def run_kubectl(cluster: Cluster, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run kubectl as the administrator, with ``given`` as its input; return its exit code and output."""
    home = cluster.folder / "kubectl"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [cluster.kubectl, *arguments],
        env={"PATH": os.defpath, "HOME": str(home), "KUBECONFIG": str(cluster.kubeconfig())},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def kubectl(cluster: Cluster, *arguments: str) -> str:
    """Run kubectl as the administrator; return its output once it has succeeded."""
    done = run_kubectl(cluster, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout
