"""Make the function, receiver or watcher of a module."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from fuseboard.delivery.function import Function
from fuseboard.delivery.source import Receiver, Watcher
from fuseboard.errors import CannotStart

if TYPE_CHECKING:
    from types import ModuleType

    from fuseboard.delivery.connections import Connections


def names(package: ModuleType) -> list[str]:
    """Return the names of the modules in a package: the folder is the registry."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def make(module: str, connections: Connections) -> Function | Receiver | Watcher:
    """Return what the module's ``new`` makes; its kind follows from its methods.

    Raises:
        CannotStart: the module has no ``new``, or makes no function, receiver or watcher.

    """
    new = getattr(import_module(module), "new", None)
    if new is None:
        raise CannotStart(f"{module} cannot be served: give it a function new(connections)")
    made: object = new(connections)
    if isinstance(made, Function | Receiver | Watcher):
        return made
    raise CannotStart(
        f"{module}: new() returns a {type(made).__name__}, which is no function (consumes, emits, handle, check), "
        "no receiver (path, max_body_bytes, receive, check) and no watcher (run, check)"
    )
