"""The manifests as they stand in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Manifest = dict[str, Any]

ROOT: Final = Path(__file__).parents[2]
KNATIVE: Final = ROOT / "knative"
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where it is there: every process of the tests reads the whole folder."""
SERVING: Final = "serving.knative.dev/v1"


def documents(path: Path) -> list[Manifest]:
    """Read the documents of a file."""
    return [each for each in yaml.load_all(path.read_text(encoding="utf-8"), LOADER) if each is not None]


def folder(path: Path) -> list[Manifest]:
    """Read the objects in the files of a folder; what kustomize is told is none."""
    found = [each for file in sorted(path.glob("*.yaml")) for each in documents(file)]
    return [each for each in found if "kustomize" not in each["apiVersion"]]


def of_kind(manifests: Iterable[Manifest], kind: str, api: str = "") -> dict[str, Manifest]:
    """Return those of a kind by their names; ``api`` is needed where two kinds have one name."""
    return {
        each["metadata"]["name"]: each for each in manifests if each["kind"] == kind and api in ("", each["apiVersion"])
    }


def pods(manifests: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield kind/name and the pod's spec of everything that makes pods."""
    for each in manifests:
        template = each.get("spec", {}).get("template") if each["kind"] != "SinkBinding" else None
        if template is not None:
            yield f"{each['kind']}/{each['metadata']['name']}", template["spec"]


def environment(container: Manifest) -> dict[str, Any]:
    """Return the variables of a container."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", ())}
