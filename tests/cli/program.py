"""``fuseboard`` in processes of its own that do not have to import it: each is forked from one that has.

Importing is most of what a short command takes, and the suite starts some two hundred. Arguments, environment, folder,
streams, signals, process id and exit code are each process's own, as with ``subprocess``. ``FUSEBOARD`` is the program
as it is installed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from subprocess import CompletedProcess, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from fuseboard.cli import commands, main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.context import ForkServerProcess

FUSEBOARD: Final = Path(sys.executable).parent / "fuseboard"
"""The program as it is installed."""

WITHIN_S: Final = 100.0
"""A machine that is busy with other tests makes a command slow: that is no finding."""

_FORKS: Final = multiprocessing.get_context("forkserver")
_COMMANDS: Final = [f"{commands.__name__}.{path.stem}" for path in Path(commands.__path__[0]).glob("[!_]*.py")]
_FORKS.set_forkserver_preload(["fuseboard.cli", *_COMMANDS, __name__])


class Program:
    """One process of the program; what it reads and shows are files."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        streams: tuple[Path, Path, Path],
    ) -> None:
        """Start it; ``streams`` are those of input, output and errors."""
        self._arguments = arguments
        given = (arguments, {**os.environ, **(environment or {})}, folder or Path.cwd(), streams)
        self._process: ForkServerProcess = _FORKS.Process(target=_run, args=given, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, within_s: float = WITHIN_S) -> int:
        """Wait until it has ended, and return its exit code."""
        self._process.join(within_s)
        if self.code is None:
            self.kill()
            self._process.join()
            raise TimeoutExpired(["fuseboard", *self._arguments], within_s)
        return self.code


class Installed:
    """A process of an installed program, with the methods of ``Program``."""

    def __init__(
        self,
        program: Path,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        folder: Path | None,
        output: Path,
    ) -> None:
        """Start the program; output and errors are appended to a file."""
        with output.open("ab") as console:
            self._process = Popen(  # noqa: S603  - the program under test
                [program, *arguments], cwd=folder, env={**os.environ, **environment}, stdout=console, stderr=console
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        self._process.terminate()

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()

    def wait(self, within_s: float = WITHIN_S) -> int:
        """Wait until it has ended, and return its exit code."""
        return self._process.wait(within_s)


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None, given: str = ""
) -> CompletedProcess[str]:
    """Run the program to its end."""
    with TemporaryDirectory(prefix="fuseboard-") as place:
        read, shown, errors = streams = (Path(place, "in"), Path(place, "out"), Path(place, "err"))
        read.write_text(given, encoding="utf-8")
        code = Program(*arguments, environment=environment, folder=folder, streams=streams).wait()
        return CompletedProcess(arguments, code, shown.read_text("utf-8"), errors.read_text("utf-8"))


def _run(arguments: tuple[str, ...], environment: dict[str, str], folder: Path, streams: tuple[Path, ...]) -> None:
    """Be the program, in a process that was forked for it."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  - as long as the process lasts
        for number, mode in enumerate("rww")
    )
    sys.argv = ["fuseboard", *arguments]
    main()
