"""Fuseboard's own ``functions`` and ``eventsources``, wherever a command is started.

Both names are common. Python imports the first package of a name on its path, and the working folder stands first
there under ``python -m`` and with ``PYTHONPATH=.``. Both packages are therefore loaded from the folder that holds
``fuseboard`` itself.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import fuseboard
from fuseboard.errors import CannotStart

if TYPE_CHECKING:
    from types import ModuleType

_FOLDER: Final = str(Path(fuseboard.__file__).parent.parent)


def _own(name: str) -> ModuleType:
    """Import a package from Fuseboard's folder, unless it is imported already.

    Raises:
        CannotStart: the installation lacks the package.

    """
    if name in sys.modules:
        return sys.modules[name]
    spec = PathFinder.find_spec(name, [_FOLDER])
    if spec is None or spec.loader is None:
        raise CannotStart(f"{_FOLDER} has fuseboard but not {name}: install Fuseboard again")
    package = module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package


functions: Final = _own("functions")
eventsources: Final = _own("eventsources")


def exists(module: str) -> bool:
    """Return whether there is a module of this name, without importing it."""
    return find_spec(module.partition(".")[0]) is not None and find_spec(module) is not None
