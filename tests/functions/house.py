"""The breaker function with a store in memory, for the tests of the function and of the board."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from functions.breaker import Breaker
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import Data, Failure, FailureDetected
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from fuseboard.stores.records import Entry

START: Final = 1_700_000_000_000
KEY: Final = "shop/login"


@dataclass
class House:
    """The function with a store of its own; time passes by setting ``now``."""

    now: int = START
    store: MemoryStore = field(init=False)
    function: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(lambda: self.now)
        self.store.apply([policy(), policy("cart")])
        self.function = Breaker(self.store)

    def handle(self, data: Data | Foreign, name: str = "1", subject: str = KEY) -> Event | None:
        """Handle an event that was taken in now."""
        return self.function.handle(Event(id=name, source="/s", subject=subject, data=data, time=self.now))

    def journal(self, key: str = KEY) -> list[Entry]:
        """Return what is on the record, oldest first."""
        return self.store.journal([key], 100)[::-1]


def fires(name: str = "down", severity: str = "critical") -> FailureDetected:
    """Return that an alert fires."""
    return FailureDetected((Failure(key=name, cause=name, condition=name, severity=severity),))
