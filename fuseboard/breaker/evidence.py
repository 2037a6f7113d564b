"""Evidence against a target: occurrences, conditions, and the outcome of each failure.

*Occurrences* count while they are in the window. *Conditions* hold until they are resolved or their lease ends.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct, field

LAG_MS: Final = 5_000
"""How long an occurrence may take from its emitter to the store, in milliseconds.

Of two occurrences at the same time, the second must not be stale because the first was taken in earlier and moved the
breaker.
"""


class Outcome(StrEnum):
    """The outcome of a failure."""

    COUNTED = "counted"
    RENEWED = "renewed"
    RESOLVED = "resolved"
    STALE = "stale"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    WEIGHTLESS = "weightless"
    ATTRIBUTED = "attributed"
    """Attributed to an open dependency, and not counted."""


class _EvidencePart(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the row in the store."""


class Occurrence(_EvidencePart, frozen=True):
    """A failure at a moment, while the moment is in the window."""

    key: str
    cause: str
    weight: int
    seen: int
    critical: bool = False
    limits_only: bool = False
    """Counts towards ``limitAt`` and never opens."""


class Condition(_EvidencePart, frozen=True):
    """A failure that holds until it is resolved or its lease ends."""

    cause: str
    weight: int
    since: int
    seen: int
    started_at: int = 0
    critical: bool = False
    limits_only: bool = False
    attributed: str = ""
    """The dependency that the condition is attributed to; an attributed condition weighs 0."""


class Resolved(_EvidencePart, frozen=True):
    """The end of a condition: an older firing that comes late does not begin the condition again."""

    started_at: int
    seen: int


class Weighed(_EvidencePart, frozen=True):
    """A failure and its outcome."""

    key: str
    verdict: str
    """An ``Outcome``; as text, since the journal of a newer version may have others."""
    weight: int = 0
    kind: str = field(name="class", default="")
    critical: str = ""
    """The rule that makes the failure critical, and its inputs."""
    attributed: str = ""
    """The dependency that the failure is attributed to."""
