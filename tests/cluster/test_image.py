"""The image, as far as it can be built without a container engine: what it holds starts, as anybody, read-only."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import urllib3

import eventsources
import functions
from fuseboard.delivery.modules import names
from fuseboard.stores.embedded import embedded_valkey
from fuseboard.testing.ports import free_port
from tests.manifests.dockerfile import build, stages
from tests.manifests.reading import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.manifests.dockerfile import Stage

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")
UID: Final = 65532
START_WITHIN_S: Final = 20.0
MODULES: Final = (
    "fuseboard.delivery.relay",
    *(f"functions.{name}" for name in names(functions)),
    *(f"eventsources.{name}" for name in names(eventsources)),
)

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("image")]


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    """Do the Dockerfile's steps; what they made is read-only, and of another user than the one who runs it."""
    # Not pytest's own folder: only its owner may enter that.
    folder = Path(tempfile.mkdtemp(prefix="fuseboard-image-"))
    try:
        folder.chmod(0o755)
        made = build(stages(DOCKERFILE, folder), ROOT)
        set_modes(folder, writable=False)
        yield made
    finally:
        set_modes(folder, writable=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """Run a store that everybody may use."""
    with folder_for_all() as folder, embedded_valkey(folder) as url:
        set_modes(folder, writable=True)
        yield url


def set_modes(folder: Path, *, writable: bool) -> None:
    """Let everybody read all that is in a folder, and everybody or nobody write."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            may_enter = 0o111 if path.is_dir() or mode & 0o100 else 0
            path.chmod(0o444 | may_enter | (0o222 if writable else 0))


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Make a folder in which everybody may write: pytest's own are their owner's alone."""
    folder = Path(tempfile.mkdtemp(prefix="fuseboard-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(image: Stage, arguments: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run the entry point as the image's user, with a folder of its own for what it must write."""
    user, _, group = image.user.partition(":")
    command, *rest = image.entry_point
    with folder_for_all() as tmp:
        process = subprocess.Popen(
            [image.path(command), *rest, *arguments],
            user=int(user),
            group=int(group),
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp)} | image.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


def answer(process: subprocess.Popen[str], url: str) -> int:
    """Return the status of a GET, as soon as somebody answers."""
    give_up = time.monotonic() + START_WITHIN_S
    with urllib3.PoolManager(retries=False, timeout=2.0) as http:
        while True:
            try:
                return http.request("GET", url).status
            except urllib3.exceptions.HTTPError:
                said = process.stdout.read() if process.stdout and process.poll() is not None else ""
                assert process.poll() is None, said
                assert time.monotonic() < give_up
                time.sleep(0.1)


@pytest.mark.parametrize("module", MODULES)
def test_every_entry_point_starts_from_a_read_only_tree_as_another_user(image: Stage, store: str, module: str) -> None:
    """Each module answers its probes, complains of nothing, and a TERM ends it well within its grace."""
    port = free_port()
    with folder_for_all() as state, folder_for_all() as table:
        shutil.copy(ROOT / "examples" / "01-one-alert" / "breakers.yaml", table)
        variables = {
            "FUSEBOARD_REDIS_URL": store,
            "K_SINK": f"http://127.0.0.1:{free_port()}/",
            "FUSEBOARD_STATE_DIR": str(state),
            "FUSEBOARD_POLICIES": str(table),
        }
        with running(image, ["serve", module, "--host=127.0.0.1", f"--port={port}"], **variables) as process:
            assert answer(process, f"http://127.0.0.1:{port}/healthz") == 200
            assert answer(process, f"http://127.0.0.1:{port}/readyz") == 200
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=15)

    assert process.returncode == 0, said
    assert not re.search("Read-only|Permission denied|Traceback", said), said


def test_the_image_has_the_manifests_that_the_local_broker_reads(image: Stage) -> None:
    """The wheel ships ``knative/base``, so that ``fuseboard up`` works wherever it is installed."""
    (base,) = image.path("/app").glob("lib/python*/site-packages/fuseboard/knative/base")

    shipped = {path.name: path.read_bytes() for path in base.iterdir()}

    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "knative" / "base").iterdir()}


def test_the_image_has_no_build_tools(image: Stage) -> None:
    """Neither pip nor what built the wheel is in the environment that runs."""
    (packages,) = image.path("/app").glob("lib/python*/site-packages")
    found = {path.name.split("-")[0] for path in packages.glob("*.dist-info")}

    assert {"fuseboard", "gunicorn", "kubernetes"} <= found
    assert found.isdisjoint({"pip", "setuptools", "wheel", "hatchling", "editables", "pytest", "mypy", "ruff"})


def test_every_module_is_compiled_and_never_compared_with_its_source(image: Stage) -> None:
    """Bytecode is there for each source, unchecked: a cold start reads it whatever the files' times are."""
    (packages,) = image.path("/app").glob("lib/python*/site-packages")
    compiled = list((packages / "fuseboard" / "__pycache__").glob("*.pyc"))
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}

    assert len(compiled) == len(list((packages / "fuseboard").glob("*.py")))
    assert flags == {0b01}  # PEP 552: by hash, and not checked


def test_the_entry_point_needs_no_shell(image: Stage) -> None:
    """It is written as a list, and its script names the environment's own interpreter."""
    (command,) = image.entry_point
    first = image.path(command).read_text(encoding="utf-8").splitlines()[0]

    assert re.fullmatch(r"#!\S+/bin/python3?(\.\d+)?", first)
    assert "/app/bin/" in first


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The user is a number, so that the kubelet can tell that it is not root; it is the manifests' own."""
    last = stages(DOCKERFILE, Path("/"))[-1]

    assert ("USER", f"{UID}:{UID}") in last.steps
    assert dict(last.steps)["ENV"].split()[0] == "PYTHONDONTWRITEBYTECODE=1"


def test_every_stage_begins_with_one_pinned_python() -> None:
    """All stages have the same base, with a tag: what is built with one Python runs with that one."""
    bases = {stage.base for stage in stages(DOCKERFILE, Path("/"))}

    assert bases == {"python:3.11-slim"}


def test_nothing_is_installed_but_by_hash() -> None:
    """What comes over the network is checked by its hash; what is installed comes from what was checked."""
    pip = [command for _, command in _runs() if "pip download" in command or "pip install" in command]

    assert [each for each in pip if "--require-hashes" not in each and "--no-index" not in each] == []


def test_only_what_the_image_needs_is_sent_to_its_builder() -> None:
    """Every path that the Dockerfile copies is let through by .dockerignore, and nothing else is."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = {
        each.rstrip("/")
        for stage in stages(DOCKERFILE, Path("/"))
        for word, rest in stage.steps
        if word == "COPY" and not rest.startswith("--from")
        for each in rest.split()[:-1]
    }

    assert ignore[1] == "*"
    assert let_through == copied


def _runs() -> list[tuple[str, str]]:
    return [step for stage in stages(DOCKERFILE, Path("/")) for step in stage.steps if step[0] == "RUN"]
