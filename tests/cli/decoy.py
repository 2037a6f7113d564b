"""A folder of a user's own code whose packages have the names of ours, and that tells when it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MARK: Final = ".imported"
FILES: Final = (
    "functions/__init__.py",
    "functions/breaker.py",
    "eventsources/__init__.py",
    "eventsources/alertmanager.py",
)
"""Names that a user's project may well have."""

ALL: Final = (*FILES, "fuseboard/__init__.py", "fuseboard/serving.py", "gunicorn.conf.py", "waitress.py")
"""More of them: only ``python -m``, which looks in the working folder first, may import these."""

_SOURCE: Final = f"""
from pathlib import Path

Path(__file__).with_suffix("{MARK}").touch()
"""


def plant(folder: Path, files: tuple[str, ...] = ALL) -> Path:
    """Write the files into a new folder; return it."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_SOURCE, encoding="utf-8")
    return folder


def imported(folder: Path) -> list[str]:
    """Return the files of the folder that were imported since."""
    return sorted(str(path.relative_to(folder).with_suffix(".py")) for path in folder.rglob(f"*{MARK}"))
