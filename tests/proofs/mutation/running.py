"""Run the tests of a module on each of its mutants, in a fork each.

pytest collects once. A mutant of a function gets its code in place and runs the tests that pass its line, the fastest
first; one of a module or a class is there before anything is imported, and runs all.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import json
import os
import signal
import sys
import tempfile
import time
import types
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import Phase, settings

from tests.proofs.mutation import lua
from tests.proofs.mutation.mutants import Mutant, mutants, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parents[3]
PLENTY_S: Final = 60
"""A mutant that takes longer hangs: it is killed."""
UNCHANGED_S: Final = 600
"""The run without a change may take longer: all of its tests run, on a machine that may be busy."""

OPTIONS: Final = (
    *("-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"),
    *("--hypothesis-profile=mutants", "-o", "addopts=--import-mode=importlib"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

settings.register_profile(
    "mutants", derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], max_examples=60, deadline=None
)

UNCHANGED: Final = Mutant("", "", 0, "", -1)

_WRAPPED: Final[Mapping[type, str]] = {property: "fget", functools.cached_property: "func"}


def is_script(file: str) -> bool:
    """Say whether a file is a Lua script."""
    return file.endswith(".lua")


def all_mutants(file: str) -> list[Mutant]:
    """Return the mutants of a file."""
    source = (ROOT / file).read_text()
    return lua.mutants(file, source) if is_script(file) else mutants(file, source)


def survivors(file: str, tests: Sequence[str], chosen: Sequence[Mutant]) -> list[Mutant]:
    """Return those that no test kills."""
    inner = [each for each in chosen if each.where and _is_in_function(file, each)]
    outer = [each for each in chosen if each not in inner]
    if outer and not _lives(lambda: _imported(file, UNCHANGED, tests), UNCHANGED_S):
        message = f"{file}: the tests are red without any change"
        raise RuntimeError(message)
    alive = _in_collected(file, tests, inner) if inner else []
    return alive + [each for each in outer if _lives(lambda each=each: _imported(file, each, tests))]  # type: ignore[misc]


# -- mutants that are there before the import ------------------------------------------------------------------------


class _Mutated(MetaPathFinder, Loader):
    """Loads one module as its mutant."""

    def __init__(self, name: str, code: types.CodeType, path: str) -> None:
        self._name, self._code, self._path = name, code, path

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        if fullname != self._name:
            return None
        spec = ModuleSpec(fullname, self, origin=self._path)
        spec.has_location = True
        return spec

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102  - our own module, but for one change


def _imported(file: str, mutant: Mutant, tests: Sequence[str]) -> int:
    if mutant is not UNCHANGED:
        (_replace_script if is_script(file) else _replace_module)(file, mutant)
    return int(pytest.main([*OPTIONS, *tests]))


def _replace_module(file: str, mutant: Mutant) -> None:
    name, path = file.removesuffix(".py").replace("/", "."), str(ROOT / file)
    changed = tree(Path(path).read_text(), mutant)
    sys.meta_path.insert(0, _Mutated(name, compile(changed, path, "exec"), path))


def _replace_script(file: str, mutant: Mutant) -> None:
    """Answer the package that reads the script with the changed text."""
    read, path = Path.read_text, ROOT / file
    changed = lua.text(path.read_text(), mutant)

    def read_text(self: Path, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401  - passed on
        return changed if self == path else read(self, *args, **kwargs)

    Path.read_text = read_text  # type: ignore[method-assign]


# -- mutants that take the place of a function's code ----------------------------------------------------------------


class _Collected:
    """Stands in for pytest's loop: a fork of the collected session for every mutant."""

    def __init__(self, file: str, chosen: Sequence[Mutant]) -> None:
        self._file, self._chosen = file, chosen
        self.alive: list[Mutant] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        passes = _measured(session, str(ROOT / self._file))
        gc.freeze()
        for mutant in self._chosen:
            items = [item for item in session.items if mutant.line in passes.get(item.nodeid, {}).get("lines", ())]
            items.sort(key=lambda item: float(passes[item.nodeid]["took"]))
            if not items or _lives(lambda m=mutant, i=items: _changed(session, self._file, m, i)):  # type: ignore[misc]
                self.alive.append(mutant)
        return True


def _in_collected(file: str, tests: Sequence[str], chosen: Sequence[Mutant]) -> list[Mutant]:
    """Return which live, from a process of their own: nothing may have been imported before."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _silent()
        loop = _Collected(file, chosen)
        pytest.main([*OPTIONS, *tests], plugins=[loop])
        with os.fdopen(write, "w") as out:
            json.dump([each.number for each in loop.alive], out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    os.waitpid(child, 0)
    if not text:
        message = f"{file}: the tests do not run: {' '.join(tests)}"
        raise RuntimeError(message)
    alive = set(json.loads(text))
    return [each for each in chosen if each.number in alive]


def _measured(session: pytest.Session, path: str) -> dict[str, dict[str, Any]]:
    """Return which lines of a file each test passes, and how long it takes; all must be green."""
    with tempfile.NamedTemporaryFile("r") as told:
        child = os.fork()
        if not child:
            Path(told.name).write_text(json.dumps(dict(_traced(session, path))))
            os._exit(0)
        os.waitpid(child, 0)
        found: dict[str, dict[str, Any]] = json.loads(told.read())
    red = [name for name, each in found.items() if each["red"]]
    if red:
        message = f"red without any mutant: {red}"
        raise RuntimeError(message)
    return found


def _traced(session: pytest.Session, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    lines: set[int] = set()
    module = next(each for each in list(sys.modules.values()) if getattr(each, "__file__", "") == path)

    def inner(frame: types.FrameType, event: str, _: object) -> Callable[..., Any]:
        if event == "line":
            lines.add(frame.f_lineno)
        return inner

    def outer(frame: types.FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if event == "call" and frame.f_code.co_filename == path:
            lines.update((frame.f_lineno, frame.f_code.co_firstlineno))
            return inner
        return None

    for item, following in _pairs(session.items):
        lines.clear()
        list(_functions(vars(module)))  # what it has cached is worked out again, so that its lines are seen
        begin, red = time.monotonic(), session.testsfailed
        sys.settrace(outer)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        sys.settrace(None)
        is_red = session.testsfailed > red
        yield item.nodeid, {"lines": sorted(lines), "took": time.monotonic() - begin, "red": is_red}


def _pairs(items: Sequence[pytest.Item]) -> Iterable[tuple[pytest.Item, pytest.Item | None]]:
    return zip(items, [*items[1:], None], strict=True)


def _changed(session: pytest.Session, file: str, mutant: Mutant, items: Sequence[pytest.Item]) -> int:
    path = str(ROOT / file)
    module = compile(tree(Path(path).read_text(), mutant), path, "exec")
    _put_in_place(sys.modules[file.removesuffix(".py").replace("/", ".")], module)
    for item, following in _pairs(items):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def _put_in_place(module: types.ModuleType, changed: types.CodeType) -> None:
    """Give every function of a module the code that it has in the changed one."""
    codes = {}
    waiting = [changed]
    while waiting:
        code = waiting.pop()
        inside = [each for each in code.co_consts if isinstance(each, types.CodeType)]
        codes.update({each.co_qualname: each for each in inside})
        waiting += inside
    for function in _functions(vars(module)):
        same = codes.get(function.__code__.co_qualname)
        if same is not None and function.__module__ == module.__name__:
            function.__code__ = same


def _functions(names: Mapping[str, Any]) -> Iterator[types.FunctionType]:
    """Yield the functions of a module or a class, whatever they are wrapped in; what they had cached is forgotten."""
    for each in list(names.values()):
        if isinstance(each, functools._lru_cache_wrapper):
            each.cache_clear()
        function = getattr(each, _WRAPPED.get(type(each), "__wrapped__"), each)
        if isinstance(function, types.FunctionType):
            yield function
        elif isinstance(each, type) and each.__module__ == names.get("__name__", each.__module__):
            yield from _functions({**vars(each), "__name__": None})


def _is_in_function(file: str, mutant: Mutant) -> bool:
    """Say whether a change is in the body of a function, not in its defaults or its class.

    A function inside another may have been made at import, as the closures of ``guards.at`` are: it counts as outside.
    """
    if is_script(file):
        return False
    functions = [each for each in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(each, ast.FunctionDef)]
    around = [each for each in functions if each.lineno <= mutant.line <= (each.end_lineno or 0)]
    return len(around) == 1 and mutant.line >= around[0].body[0].lineno and mutant.where.endswith(around[0].name)


# -- forks -----------------------------------------------------------------------------------------------------------


def _lives(run: Callable[[], int], within_s: int = PLENTY_S) -> bool:
    """Say whether the tests pass in a fork; one that hangs does not."""
    child = os.fork()
    if not child:
        os.setpgrp()
        _silent()
        signal.alarm(within_s)
        code = 1
        try:
            code = run()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it had started, if it hung
    return os.waitstatus_to_exitcode(status) == 0


def _silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
