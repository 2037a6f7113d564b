"""Run a Dockerfile's steps without a container engine: the image's root is a folder, its paths are rewritten to it.

What is known: FROM … AS, ARG with a default, WORKDIR, COPY, RUN without line continuations, ENV, USER, ENTRYPOINT.
A base image is taken to be the Python that runs the tests; what is done to the base itself is not done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
NOT_COPIED: Final = ("__pycache__", "test", "site-packages", "idlelib", "tkinter", "turtledemo", "config-*")


@dataclass(slots=True)
class Stage:
    """One stage: its folder, and what it says about the process that will run."""

    name: str
    base: str
    root: Path
    steps: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    python: Path = Path()
    user: str = ""
    entry_point: list[str] = field(default_factory=list)

    def path(self, path: str, workdir: str = "/") -> Path:
        """Return where a path of the image is here."""
        return self.root / (Path(workdir) / path).relative_to("/")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield what the lines say."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word.upper(), rest.strip()


def stages(text: str, folder: Path) -> list[Stage]:
    """Return the stages of a Dockerfile, each with a root below a folder; nothing is run yet."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for word, rest in instructions(text):
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[f"${{{name}}}"] = value
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            name = name or "image"
            found.append(Stage(name, arguments.get(base, base), folder / name))
        else:
            found[-1].steps.append((word, rest))
    return found


def build(found: list[Stage], context: Path) -> Stage:
    """Do the steps of all stages; return the last one."""
    python, environment = _base(found[0].root.parent)
    for stage in found:
        stage.root.mkdir()
        stage.python = python
        stage.environment |= environment
        _build(stage, {each.name: each for each in found}, context)
    return found[-1]


def _base(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return a Python that everybody may run, and the variables that it needs: this one's, or a copy of it."""
    prefix = Path(sys.base_prefix)
    if all(each.stat().st_mode & 0o001 for each in (prefix, *prefix.parents)):
        return prefix / "bin" / VERSION, {}
    copy = folder / "python"
    (copy / "bin").mkdir(parents=True)
    shutil.copy(prefix / "bin" / VERSION, copy / "bin")
    shutil.copytree(prefix / "lib" / VERSION, copy / "lib" / VERSION, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for library in (prefix / "lib").glob("libpython*.so*"):
        shutil.copy(library, copy / "lib")
    return copy / "bin" / VERSION, {"LD_LIBRARY_PATH": str(copy / "lib")}


def _build(stage: Stage, others: Mapping[str, Stage], context: Path) -> None:
    workdir, final = "/", "image"
    for word, rest in stage.steps:
        if word == "WORKDIR":
            workdir = rest
            stage.path(workdir).mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            _copy(stage, rest, workdir, others, context)
        elif word == "RUN" and stage.name != final:
            _run(stage, rest, workdir)
        elif word == "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in rest.split())
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entry_point = json.loads(rest)


def _copy(stage: Stage, rest: str, workdir: str, others: Mapping[str, Stage], context: Path) -> None:
    *sources, target = [each for each in rest.split() if not each.startswith("--")]
    origin = re.match(r"--from=(\S+)", rest)
    destination = stage.path(target, workdir)
    for each in sources:
        source = others[origin[1]].path(each) if origin else context / each
        if source.is_dir():
            # A virtual environment knows where it is: it stays there, and a link stands for the copy.
            if origin:
                destination.symlink_to(source)
            else:
                shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, destination / source.name if target.endswith("/") else destination)


def _run(stage: Stage, command: str, workdir: str) -> None:
    """Run a command with the image's own folders instead of the machine's."""
    here = re.sub(r"(?<![\w./])/(app|build|src|wheels)\b", lambda found: str(stage.path(found[0])), command)
    here = re.sub(r"(?<![\w./-])python(?= -m pip)", sys.executable, here)
    here = re.sub(r"(?<![\w./-])python(?= -m )", str(stage.python), here)
    variables = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_", "HOME", "PATH"))}
    done = subprocess.run(  # noqa: S603  - the project's own Dockerfile
        ["/bin/sh", "-ec", here],
        cwd=stage.path(workdir),
        env=variables | stage.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
