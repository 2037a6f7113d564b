"""The errors of Fuseboard, and the reaction that each asks for.

FuseboardError
├── InvalidInput             will never work: 400
│   ├── TooLarge             413
│   └── WrongContentType     415
├── Busy                     the same work is under way: try again, 409
├── Unavailable              try again later: 503
│   ├── StoreUnavailable
│   ├── SinkUnavailable
│   └── ClusterUnavailable
│       └── Stalled          a stream of the cluster has gone silent
├── Expired                  the requested version is too old or unknown: list all objects again
├── Refused                  refused permanently by the cluster: RBAC, admission, gone
│   └── NotFound             there is no object of the name
├── Conflict                 the object has changed in between: read it again
├── NotEnrolled              no breaker of that name in the table
├── RecordCorrupt            a record in the store cannot be read: a human must look
├── InvalidPolicy            a policy file is wrong: names the field, the value, what was expected
└── CannotStart              start-up is impossible: has the reason and the remedy

A complaint that is part of a normal answer is returned and not raised: a ``Problem``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a check failed, in a sentence for people.

    A function that checks returns ``Problem | None``; None means that the check passed. Checks are chained with ``or``,
    and ``str()`` or an f-string gives the sentence.
    """

    text: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


class FuseboardError(Exception):
    """The base of all errors that Fuseboard raises on purpose."""


class InvalidInput(FuseboardError):
    """The input can never be accepted, even if sent again."""


class TooLarge(InvalidInput):
    """The body is over the limit."""


class WrongContentType(InvalidInput):
    """The media type of the body is not supported."""


class Busy(FuseboardError):
    """Another process does the same work right now."""


class Unavailable(FuseboardError):
    """A system does not answer; no work was left half done."""


class StoreUnavailable(Unavailable):
    """Redis or Valkey cannot be used right now."""


class SinkUnavailable(Unavailable):
    """The broker did not take the event."""


class ClusterUnavailable(Unavailable):
    """The Kubernetes API server did not answer, or asked to wait."""

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        """``wait_s`` is the wait that the server asked for, in seconds; 0 for none."""
        super().__init__(message)
        self.wait_s = wait_s


class Stalled(ClusterUnavailable):
    """A stream was silent for longer than a living stream can be."""


class Expired(FuseboardError):
    """The cluster's history from the version asked for is not to be had: read everything anew."""


class Refused(FuseboardError):
    """The Kubernetes API server refused permanently: RBAC, admission, or the object is gone."""


class NotFound(Refused):
    """The cluster has no object of the name, or does not know the kind."""


class Conflict(FuseboardError):
    """The object has changed since the last read."""


class NotEnrolled(FuseboardError):
    """The breaker table has no breaker of the name."""


class RecordCorrupt(FuseboardError):
    """A record in the store cannot be read; the breaker rests until a human has repaired the record."""


class InvalidPolicy(FuseboardError):
    """A policy cannot be used; the message names the field, its value and what was expected."""


class CannotStart(FuseboardError):
    """Start-up is impossible; the message has the reason and the remedy."""
