"""Receive the notifications of Alertmanager: its webhook, version 4."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from fuseboard.errors import InvalidInput, WrongContentType
from fuseboard.events.event import JSON
from fuseboard.events.json import decode_json
from fuseboard.signals.alerts import display_text
from fuseboard.signals.targets import TargetIndex
from fuseboard.signals.translation import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fuseboard.delivery.connections import Connections
    from fuseboard.delivery.source import Notification
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Outbox, Store

_CLUSTER: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


class _IndexCache:
    """The index of the breaker table, built anew when the policies change."""

    __slots__ = ("_built",)

    def __init__(self) -> None:
        self._built: tuple[Mapping[str, Policy], TargetIndex, Mapping[str, str]] = ({}, TargetIndex(()), {})

    def index(self, policies: Mapping[str, Policy]) -> tuple[TargetIndex, Mapping[str, str]]:
        """Return the index, and by breaker the annotation that holds the load, where a policy names one."""
        known, index, annotations = self._built
        if known is not policies:
            index, annotations = TargetIndex(policies.values()), dict(_annotations(policies))
            self._built = policies, index, annotations
        return index, annotations


def _annotations(policies: Mapping[str, Policy]) -> Iterator[tuple[str, str]]:
    for key, policy in policies.items():
        wanted = policy.spec.signals.load
        if wanted is not None and wanted.annotation:
            yield key, wanted.annotation


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Turns notifications into signals."""

    path: ClassVar[str] = "/alertmanager"
    max_body_bytes: ClassVar[int] = 10 * 1024 * 1024
    store: Store
    outbox: Outbox
    clock: Callable[[], float] = time.time
    """Held against ``startsAt`` only: when a signal was taken in, the outbox says."""
    _cache: _IndexCache = field(default_factory=_IndexCache, init=False, repr=False, compare=False)

    def receive(self, notification: Notification) -> None:
        """Take a notification in; when this returns, its signals are on disk."""
        if notification.content_type.partition(";")[0].strip().lower() != JSON:
            message = f"the content type is {display_text(notification.content_type)!r}: send {JSON}"
            raise WrongContentType(message)
        cluster = _cluster(notification.query)
        payload = decode_json(notification.body)
        index, annotations = self._cache.index(self.store.table())
        translation = translate(payload, index, cluster, round(self.clock() * 1000), annotations)
        self.outbox.append(translation.events, translation.entry)

    def check(self) -> None:
        """Do nothing if the store answers."""
        self.store.check()


def new(connections: Connections) -> Alertmanager:
    """Return the receiver."""
    return Alertmanager(connections.store, connections.outbox)


def _cluster(query: Mapping[str, str]) -> str:
    cluster = query.get("cluster")
    if cluster is None:
        return ""
    if not _CLUSTER.fullmatch(cluster):
        message = (
            f"cluster is {display_text(cluster)!r}: expected lower case letters, digits and '-', as in ?cluster=eu-1"
        )
        raise InvalidInput(message)
    return cluster
