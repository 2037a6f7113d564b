"""Overlays and components, built by kubectl as people build them."""

from __future__ import annotations

import shutil
import subprocess
from copy import deepcopy
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.cluster.api import Json, read_manifests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KNATIVE: Final = Path(__file__).parents[2] / "knative"
NAMESPACE: Final = "fuseboard"
LOCAL: Final = "overlays/local/fuseboard"
PRODUCTION: Final = "overlays/production"

COMPONENTS: Final = (
    "kafka",
    "external-redis",
    "prometheus-operator",
    "serving-scheduling",
    "durable-deadletter",
    "functions-as-deployments",
)
"""In the order in which they are listed: each finds what the ones before it have left."""


class Combination(NamedTuple):
    """An overlay and components on top of it."""

    overlay: str
    components: tuple[str, ...]

    def __str__(self) -> str:
        """Return what a test of it is called."""
        return "+".join((self.overlay.split("/")[1], *self.components))


def all_combinations() -> Iterator[Combination]:
    """Yield every overlay with every set of components that it takes."""
    for overlay, has in ((LOCAL, ()), (PRODUCTION, ("kafka", "durable-deadletter"))):
        free = [each for each in COMPONENTS if each not in has]
        for size in range(len(free) + 1):
            for chosen in combinations(free, size):
                if "functions-as-deployments" not in chosen or "durable-deadletter" in {*chosen, *has}:
                    yield Combination(overlay, chosen)


class Kustomize:
    """Builds with one kubectl, in a folder of its own."""

    def __init__(self, kubectl: Path, folder: Path) -> None:
        self._kubectl = kubectl
        self._folder = folder
        self._built: dict[tuple[Combination, str], list[Json]] = {}
        shutil.copytree(KNATIVE, folder / "knative")

    def build(self, path: str) -> list[Json]:
        """Return the objects of a folder below ``knative``."""
        return self._run(self._folder / "knative" / path)

    def combine(self, combination: Combination, namespace: str = NAMESPACE) -> list[Json]:
        """Return the objects of an overlay with components, as somebody's own overlay has them."""
        key = combination, namespace
        if key not in self._built:
            self._built[key] = self.overlay(combination.overlay, combination.components, namespace)
        return deepcopy(self._built[key])

    def overlay(self, path: str, components: Sequence[str], namespace: str) -> list[Json]:
        """Return what an overlay of one's own makes of a folder."""
        own = self._folder / "knative" / "own"
        own.mkdir(exist_ok=True)
        lines = [f"namespace: {namespace}", f"resources: [../{path}]", "components:" if components else ""]
        (own / "kustomization.yaml").write_text(
            "\n".join([*lines, *(f"- ../components/{each}" for each in components)])
        )
        return self._run(own)

    def _run(self, path: Path) -> list[Json]:
        done = subprocess.run([self._kubectl, "kustomize", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        built = self._folder / "built.yaml"
        built.write_text(done.stdout)
        return list(read_manifests([built]))
