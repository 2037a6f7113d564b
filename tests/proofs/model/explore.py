"""Breadth first through every state of two targets and two workers, until there is no new one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tests.proofs.model.world import EVENTS, Model, Target, Violated, Wiring, Work, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE: Final = -1


class Limits(NamedTuple):
    """How often what would go on for ever may happen, over all."""

    crashes: int = 1
    losses: int = 1
    delays: int = 2
    """Ticks while somebody is at work or could be."""


class World(NamedTuple):
    """A state of the model; its parts are numbers of what they stand for."""

    targets: tuple[int, ...]
    workers: tuple[tuple[int, int], ...]
    """Of each: what it holds, and which target that is about."""
    left: Limits


class Found(NamedTuple):
    """What an exploration has found."""

    states: int
    depth: int
    steps: int
    trace: tuple[str, ...]
    """How it comes to a state in which something does not hold; empty where everything holds everywhere."""


class Exploration:
    """All states that can be reached, each once."""

    def __init__(self, wiring: Wiring, limits: Limits, targets: int = 2, *, alike: bool = False) -> None:
        """``alike``: two states in which the targets have but changed places are one."""
        self._model, self._reads_again = Model(wiring), wiring.reads_again
        self._limits, self._count, self._alike = limits, targets, alike
        self._parts: list[Any] = []
        self._numbers: dict[bytes, int] = {}
        self._known: dict[Any, Any] = {}

    def run(self) -> Found:
        """Explore to the fixpoint, or to the first state in which something does not hold."""
        first = World((self._number(Target()),) * self._count, ((IDLE, 0),) * 2, self._limits)
        came: dict[World, tuple[World | None, str]] = {first: (None, "")}
        front, depth, steps = deque([(first, 0)]), 0, 0
        while front:
            world, depth = front.popleft()
            label = ""
            try:
                progress = False
                for label, found, moves in self._next(world):
                    following = _sorted(found) if self._alike else found
                    progress = progress or (moves and following != world)
                    steps += 1
                    if following not in came:
                        came[following] = (world, label)
                        front.append((following, depth + 1))
                if not progress:
                    label = "nothing more happens"
                    for each in world.targets:
                        settled(self._parts[each])
            except Violated as error:
                return Found(len(came), depth, steps, (*_path(came, world), str(error)))
        return Found(len(came), depth, steps, ())

    # -- what can follow ---------------------------------------------------------------------------------------------

    def _next(self, world: World) -> Iterator[tuple[str, World, bool]]:
        """Yield what can happen, what it leads to, and whether it must happen some time."""
        yield from self._signals(world)
        for index, (work, _) in enumerate(world.workers):
            if work == IDLE:
                yield from self._beginnings(world, index)
            else:
                yield from self._advances(world, index)
        yield from self._ticks(world)

    def _signals(self, world: World) -> Iterator[tuple[str, World, bool]]:
        for index, target in enumerate(world.targets):
            for number in range(len(EVENTS)):
                first = not self._parts[target].told & 1 << number
                for each in self._once(("deliver", target, number), lambda t=target, n=number: self._delivered(t, n)):
                    if each != target:
                        yield (
                            f"target {index}: event {number} {'comes' if first else 'comes again'}",
                            _put(world, index, each),
                            first,
                        )
            for each in self._once(("wake", target), lambda t=target: self._woken(t)):
                yield f"target {index}: the clock looks", _put(world, index, each), True
            if world.left.losses:
                for each in self._once(
                    ("lose", target), lambda t=target: [self._number(self._model.lose(self._parts[t]))]
                ):
                    left = world.left._replace(losses=world.left.losses - 1)
                    yield f"target {index}: memory is lost", _put(world, index, each)._replace(left=left), False

    def _delivered(self, target: int, number: int) -> list[int]:
        return [self._number(each) for each in self._model.deliver(self._parts[target], number)]

    def _woken(self, target: int) -> list[int]:
        woken = self._model.wake(self._parts[target])
        return [] if woken is None else [self._number(woken)]

    def _beginnings(self, world: World, worker: int) -> Iterator[tuple[str, World, bool]]:
        for index, target in enumerate(world.targets):
            key = ("begin", target, worker)
            for after, work in self._once(key, lambda t=target: self._begun(t, worker)):
                told = f"target {index}: worker {worker} claims"
                yield told, _hold(_put(world, index, after), worker, work, index), True

    def _begun(self, target: int, worker: int) -> list[tuple[int, int]]:
        found: Target = self._parts[target]
        if not self._model.awaited(found):
            return []
        reads = [found.state] if self._reads_again else [found.state, found.state.__class__()]
        begun = [self._model.begin(found, f"w{worker}", read) for read in reads]
        return [(self._number(each[0]), self._number(each[1])) for each in begun if each is not None]

    def _advances(self, world: World, worker: int) -> Iterator[tuple[str, World, bool]]:
        work, index = world.workers[worker]
        target = world.targets[index]
        if world.left.crashes:
            left = world.left._replace(crashes=world.left.crashes - 1)
            yield f"target {index}: worker {worker} dies", _hold(world, worker, IDLE, 0)._replace(left=left), False
        for after, holds in self._once(("advance", target, work), lambda: self._advanced(target, work)):
            stage = self._parts[work].stage
            told = f"target {index}: worker {worker} goes on ({stage})"
            yield told, _hold(_put(world, index, after), worker, holds, index), True

    def _advanced(self, target: int, work: int) -> list[tuple[int, int]]:
        after, holds = self._model.advance(self._parts[target], self._parts[work])
        return [(self._number(after), self._number(holds))]

    def _ticks(self, world: World) -> Iterator[tuple[str, World, bool]]:
        if not any(
            self._once(("waits", each), lambda e=each: self._model.waits(self._parts[e])) for each in world.targets
        ):
            return
        hurry = any(work != IDLE for work, _ in world.workers) or self._can_begin(world)
        if hurry and not world.left.delays:
            return
        left = world.left._replace(delays=world.left.delays - 1) if hurry else world.left
        later = tuple(
            self._once(("later", each), lambda e=each: self._number(self._model.later(self._parts[e])))
            for each in world.targets
        )
        yield "time passes", world._replace(targets=later, left=left), not hurry

    def _can_begin(self, world: World) -> bool:
        return any(self._once(("begin", each, 0), lambda e=each: self._begun(e, 0)) for each in world.targets)

    # -- numbers for what is the same --------------------------------------------------------------------------------

    def _number(self, part: Target | Work | None) -> int:
        if part is None:
            return IDLE
        raw = msgspec.msgpack.encode(part)
        number = self._numbers.get(raw)
        if number is None:
            number = self._numbers[raw] = len(self._parts)
            self._parts.append(part)
        return number

    def _once(self, key: Any, find: Any) -> Any:  # noqa: ANN401  - whatever is found
        """Find something out once: what follows for a target does not depend on the other one."""
        found = self._known.get(key)
        if found is None:
            try:
                found = find()
            except Violated as error:
                found = error
            self._known[key] = found
        if isinstance(found, Violated):
            raise found
        return found


def _put(world: World, index: int, target: int) -> World:
    targets = tuple(target if number == index else each for number, each in enumerate(world.targets))
    return world._replace(targets=targets)


def _hold(world: World, worker: int, work: int, index: int) -> World:
    held = (work, index if work != IDLE else 0)
    return world._replace(workers=tuple(held if n == worker else each for n, each in enumerate(world.workers)))


def _sorted(world: World) -> World:
    """Return the state with its targets in order: which is which does not matter."""
    if world.targets == tuple(sorted(world.targets)):
        return world
    first, second = world.targets
    workers = tuple((work, 1 - index if work != IDLE else 0) for work, index in world.workers)
    return World((second, first), workers, world.left)


def _path(came: dict[World, tuple[World | None, str]], world: World) -> list[str]:
    found: list[str] = []
    at: World | None = world
    while at is not None:
        at, label = came[at]
        found.append(label)
    return [each for each in reversed(found) if each]
