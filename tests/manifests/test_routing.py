"""Triggers, functions and what they say of themselves agree."""

from __future__ import annotations

from graphlib import TopologicalSorter
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import eventsources
import functions
from fuseboard.delivery.modules import names
from fuseboard.delivery.triggers import manifests, read_triggers
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import ANY, DATA_TYPES

if TYPE_CHECKING:
    from fuseboard.delivery.function import Function

FUNCTIONS = names(functions)


def function(name: str) -> type[Function]:
    """Return the class of a function: the one that consumes something."""
    module = import_module(f"functions.{name}")
    (found,) = (
        each for each in vars(module).values() if hasattr(each, "consumes") and each.__module__ == module.__name__
    )
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "deadletter"])
def test_a_trigger_lets_through_what_its_function_consumes(name: str) -> None:
    """The Trigger of a function passes all that the function consumes, and nothing else of ours."""
    (trigger,) = (each for each in read_triggers(manifests() / "base") if each.name == name)
    consumes = function(name).consumes

    for kind in DATA_TYPES:
        event = Event(id="1", source="/t", subject="a/b", data=Foreign(kind, {}))
        assert trigger.lets_through(event) == (consumes == ANY or kind in consumes)


def test_every_trigger_has_a_function_and_the_dead_letters() -> None:
    """A Trigger's subscriber and its dead-letter sink are functions of the folder; the folder has no others."""
    triggers = read_triggers(manifests() / "base")
    subscribers = {each.spec.subscriber.ref.name for each in triggers}

    assert {each.spec.delivery.dead_letter_sink.ref.name for each in triggers} == {"deadletter"}
    assert subscribers | {"deadletter"} == set(FUNCTIONS)


def test_events_only_go_down() -> None:
    """What functions emit is consumed further down only: there is no loop through the broker."""
    graph = {
        name: {other for other in FUNCTIONS if function(other).emits & function(name).consumes} for name in FUNCTIONS
    }

    order = list(TopologicalSorter(graph).static_order())

    assert order.index("breaker") < order.index("failover")


@pytest.mark.parametrize("trigger", read_triggers(manifests() / "base"), ids=lambda each: each.name)
def test_retries_end_before_an_in_memory_channel_gives_up(trigger: object) -> None:
    """Twice all waits and timeouts stay under the 900 s of the channel's fan-out: P4."""
    delivery = trigger.spec.delivery  # type: ignore[attr-defined]
    waits = list(delivery.waits_s())

    assert (sum(waits) + (len(waits) + 1) * float(delivery.timeout[2:-1])) * 2 < 900


def test_every_source_is_one_file() -> None:
    """The folder is the registry: each source can be made by its ``new``."""
    assert all(callable(import_module(f"eventsources.{name}").new) for name in names(eventsources))
