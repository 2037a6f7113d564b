"""Build the rows into a cache, once: a second run builds nothing, two at a time wait in turn.

`python -m tests.cluster.programs` builds everything and starts nothing.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.rows import ROWS, Row
from tests.cluster.toolchain import find_go

MODULES = Path(__file__).parent / "go"
CACHE_VARIABLE = "FUSEBOARD_CLUSTER_CACHE"
PROGRESS_EVERY_S = 15.0

Report = Callable[[str], None]


class BuildFailedError(RuntimeError):
    """A program could not be built; quotes the end of what Go said."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A row in the cache."""

    home: Path

    def program(self, name: str) -> Path:
        """Return the path of a program."""
        return self.home / "bin" / name

    def manifests(self, folder: str) -> list[Path]:
        """Return the YAML files of a folder of the module, in order of name."""
        return sorted((self.home / "module" / folder).glob("*.yaml"))


def default_cache() -> Path:
    """Return the cache's folder: the variable's, else the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user).expanduser().absolute() / "fuseboard"


def say(line: str) -> None:
    """Report to the terminal."""
    print(line, file=sys.stderr, flush=True)


def install(rows: Sequence[Row], cache: Path, report: Report = say, modules: Path = MODULES) -> dict[str, Installed]:
    """Build what the cache lacks; return the rows by name."""
    return {row.name: _install(row, modules / row.name, cache, report) for row in rows}


def _install(row: Row, module: Path, cache: Path, report: Report) -> Installed:
    home = cache / f"{row.name}-{_fingerprint(row, module)}"
    if home.is_dir():
        return Installed(home)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{row.name}.lock"):
        if not home.is_dir():  # else another run built it while this one waited
            _build(row, module, home, report)
    return Installed(home)


def _fingerprint(row: Row, module: Path) -> str:
    pins = [(module / file).read_bytes() for file in ("go.mod", "go.sum")]
    rest = repr((row, platform.system(), platform.machine())).encode()
    return hashlib.sha256(b"\0".join([*pins, rest])).hexdigest()[:16]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield  # closing the file unlocks it, so does the end of the process


def _build(row: Row, module: Path, home: Path, report: Report) -> None:
    started = time.monotonic()
    programs = ", ".join(row.programs)
    report(f"{row.name}: " + (f"building {programs}" if programs else "fetching its CRDs"))
    with tempfile.TemporaryDirectory(prefix=f".{row.name}-", dir=home.parent) as folder:
        work = Workplace(row, module, Path(folder), report)
        work.fetch_manifests()
        if row.programs:
            work.build_programs()
        work.out.rename(home)  # all of it or nothing: a run that is broken off leaves no half row
    report(f"{row.name}: done in {time.monotonic() - started:.0f} s")


class Workplace:
    """One build, in a folder of its own."""

    def __init__(self, row: Row, module: Path, folder: Path, report: Report) -> None:
        """Copy the pins there."""
        self.row = row
        self.go = find_go()
        self.report = report
        self.log = folder / "go.log"
        self.source = folder / "source"
        self.out = folder / "out"
        self.out.mkdir()
        shutil.copytree(module, self.source)

    def fetch_manifests(self) -> None:
        """Take the folders of YAML out of the module."""
        if not self.row.folders:
            return
        answer = self.run("mod", "download", "-json", self.row.module)
        module = Path(json.loads(answer)["Dir"])
        for folder in self.row.folders:
            target = self.out / "module" / folder
            target.mkdir(parents=True)
            for file in (module / folder).glob("*.yaml"):
                shutil.copyfile(file, target / file.name)  # not its mode: Go's cache is read-only

    def build_programs(self) -> None:
        """Build the programs that the go.mod names as tools."""
        if self.row.edits:
            self.run("mod", "vendor")
            self.edit()
        self.run(
            "build",
            "-mod=vendor" if self.row.edits else "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            f"-ldflags={self.row.ldflags}",
            f"-o={self.out / 'bin'}{os.sep}",
            "tool",
        )
        missing = [name for name in self.row.programs if not (self.out / "bin" / name).is_file()]
        if missing:
            raise BuildFailedError(f"{self.row.name}: its go.mod has no `tool` line for {', '.join(missing)}")

    def edit(self) -> None:
        """Apply the row's edits to the vendored sources."""
        for edit in self.row.edits:
            file = self.source / "vendor" / edit.file
            text = file.read_text() if file.is_file() else ""
            if text.count(edit.old) != 1:
                raise BuildFailedError(f"{edit.file} does not have this once, change rows: {edit.old}")
            file.write_text(text.replace(edit.old, edit.new))

    def run(self, *arguments: str) -> str:
        """Run Go and return what it printed."""
        with (
            self.log.open("w") as errors,
            (self.log.with_suffix(".out")).open("w+") as output,
            subprocess.Popen(
                [self.go, *arguments],
                cwd=self.source,
                env=_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            ) as process,
        ):
            self.follow(process, arguments[0])
            output.seek(0)
            answer = output.read()
        if process.returncode:
            self.fail(arguments, answer)
        return answer

    def follow(self, process: subprocess.Popen[bytes], step: str) -> None:
        """Wait for Go; report while it takes long."""
        started = time.monotonic()
        while process.poll() is None:
            try:
                process.wait(PROGRESS_EVERY_S)
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - started
                self.report(f"{self.row.name}: go {step} … {seconds:.0f} s")
            except BaseException:
                process.terminate()
                raise

    def fail(self, arguments: Sequence[str], answer: str) -> None:
        """Raise with the end of what Go said."""
        said = "\n".join((answer + self.log.read_text()).splitlines()[-20:])
        message = (
            f"{self.row.name}: `go {' '.join(arguments)}` failed:\n{said}\n"
            "Fix: a first build needs a Go module proxy (see `go env GOPROXY`), the checksum "
            "database and about 7 GB of disk; what was fetched and compiled so far is kept by Go."
        )
        raise BuildFailedError(message)


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    # No C compiler and no settings of the developer's other projects.
    return {**inherited, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


if __name__ == "__main__":
    for built in install(ROWS, default_cache()).values():
        print(built.home)
