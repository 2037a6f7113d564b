"""What can go wrong, and what the reader of the error must do.

FuseboardError
├── InvalidInput             never will work: 400
│   ├── TooLarge             413
│   └── WrongContentType     415
├── Busy                     somebody is still at work on this: try again, 409
├── Unavailable              try again later: 503
│   ├── StoreUnavailable
│   ├── SinkUnavailable
│   └── ClusterUnavailable
│       └── Stalled          a stream of the cluster has gone silent
├── Expired                  what is asked for is too old, or never was: read everything anew
├── Refused                  the cluster said no, for good: RBAC, admission, gone
│   └── NotFound             it has no such object
├── Conflict                 somebody else changed the object in between: read it again
├── NotEnrolled              no breaker of that name in the table
├── RecordCorrupt            a record in the store cannot be read: a human must look
├── InvalidPolicy            a policy file is wrong: names the field, the value, what was expected
└── CannotStart              start-up is impossible: says why and what to do

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
    """Anything that Fuseboard raises on purpose."""


class InvalidInput(FuseboardError):
    """The input can never be accepted, however often it is sent."""


class TooLarge(InvalidInput):
    """The body is over the limit."""


class WrongContentType(InvalidInput):
    """The body is of a media type that is not understood here."""


class Busy(FuseboardError):
    """The same work is being done by somebody else right now."""


class Unavailable(FuseboardError):
    """Something that is needed does not answer; nothing was half done."""


class StoreUnavailable(Unavailable):
    """Redis or Valkey cannot be used right now."""


class SinkUnavailable(Unavailable):
    """The broker did not take the event."""


class ClusterUnavailable(Unavailable):
    """The Kubernetes API server did not answer, or asked to wait."""

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        """``wait_s`` is how long it asked to wait; 0 when it did not say."""
        super().__init__(message)
        self.wait_s = wait_s


class Stalled(ClusterUnavailable):
    """A stream has been silent for longer than a living one can be."""


class Expired(FuseboardError):
    """The cluster's history from the version asked for is not to be had: read everything anew."""


class Refused(FuseboardError):
    """The Kubernetes API server refused for good: RBAC, admission, or the object is gone."""


class NotFound(Refused):
    """The cluster has no such object, or no such kind of objects."""


class Conflict(FuseboardError):
    """The object has changed since it was read."""


class NotEnrolled(FuseboardError):
    """The breaker table has no such breaker."""


class RecordCorrupt(FuseboardError):
    """A record in the store cannot be read; nothing is done with it until a human has looked."""


class InvalidPolicy(FuseboardError):
    """A policy cannot be used; the message names the field, its value and what was expected."""


class CannotStart(FuseboardError):
    """Start-up is impossible; the message says why and what to do about it."""
