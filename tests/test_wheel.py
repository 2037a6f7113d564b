"""The wheel as its users have it: built, installed into an empty environment, and run from another folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import pytest

from tests.cli import decoy
from tests.cli.running import Up, alert, notification

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("fuseboard", "functions", "eventsources")
PIP: Final = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--no-input")

pytestmark = pytest.mark.xdist_group("wheel")


def run(*command: str | Path) -> str:
    """Run a command to its end; return its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  - the tests' own commands
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the tools of this environment, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that has the wheel, and its dependencies from this one by a .pth file."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    run(*PIP, "--python", folder / "bin" / "python", "install", "--no-index", "--no-deps", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return folder


def files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that Python did not make."""
    return (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_the_wheel_has_every_file_of_the_packages_and_the_manifests(wheel: Path) -> None:
    """Modules, failures.json, schemas, scripts of the store and the manifests of the local broker are all in it."""
    packaged = {str(path.relative_to(ROOT)) for name in PACKAGES for path in files(ROOT / name)}
    manifests = {f"fuseboard/{path.relative_to(ROOT)}" for path in files(ROOT / "knative" / "base")}
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert found == packaged | manifests
    assert {f"{name}/py.typed" for name in PACKAGES} <= found
    assert {"failures.json", "breaker.opened.json", "kustomization.yaml"} <= {Path(name).name for name in found}


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    """The text of the licence is in the wheel, and its metadata names it."""
    with ZipFile(wheel) as archive:
        (info,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        text = archive.read(f"{info}/licenses/LICENSE")
        metadata = archive.read(f"{info}/METADATA").decode()

    assert text == (ROOT / "LICENSE").read_bytes()
    assert "\nLicense-Expression: Apache-2.0\n" in metadata


def test_installed_elsewhere_it_runs_from_any_folder(environment: Path, tmp_path: Path) -> None:
    """In an empty environment, from a folder with packages of the same names, ``fuseboard up`` opens a breaker."""
    folder = decoy.plant(tmp_path / "theirs")
    origin = run(environment / "bin" / "python", "-I", "-c", "import fuseboard; print(fuseboard.__file__)")
    assert Path(origin).is_relative_to(environment)

    with Up(tmp_path, folder=folder, program=environment / "bin" / "fuseboard") as up:
        assert up.breaker()["state"] == "CLOSED"
        assert up.post("/alertmanager", notification(alert("critical"))).status == 202
        opened = up.becomes("OPEN")
        assert up.stop() == 0

    assert opened["placement"]["shares"] == {"target": 0, "standby": 100}
    assert decoy.imported(folder) == []
