"""The real kubectl, as the administrator."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


def kubectl(cluster: Cluster, *arguments: str) -> str:
    """Run kubectl as the administrator."""
    home = cluster.folder / "kubectl"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [cluster.kubectl, *arguments],
        env={"PATH": os.defpath, "HOME": str(home), "KUBECONFIG": str(cluster.kubeconfig())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
