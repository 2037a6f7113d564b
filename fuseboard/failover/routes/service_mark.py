"""A Service with the mark of a breaker: the annotation that holds the fence, and the selectors before and after.

Each breaker has its own annotation. It changes together with the selector in one patch, and stays on the Service when
the traffic is back at the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.placement import Fence, Shares
from fuseboard.errors import Refused

if TYPE_CHECKING:
    from fuseboard.cluster import Manifest

ANNOTATION_PREFIX: Final = "breaker.fuseboard.dev/"
"""Prefix of the annotation; the breaker's name follows."""


class Mark(Struct, frozen=True, omit_defaults=True):
    """The value of the annotation."""

    epoch: int
    step: int
    shares: Shares
    ours: dict[str, str]
    """The selector that Fuseboard has set; empty if another client's selector is in place."""
    prior: dict[str, str] | None = None
    """The selector before the traffic was moved; None while the target has its traffic."""

    @property
    def fence(self) -> Fence:
        """The fence on the Service."""
        return Fence(self.epoch, self.step)

    def under(self, fence: Fence) -> Mark:
        """Return the same mark with another fence."""
        return replace(self, epoch=fence.epoch, step=fence.step)


@dataclass(frozen=True, slots=True)
class MarkedService:
    """A version of a Service, as one breaker sees it."""

    manifest: Manifest
    breaker: str
    """Name of the breaker, without its namespace."""

    @property
    def annotation(self) -> str:
        """The key of the breaker's annotation."""
        return f"{ANNOTATION_PREFIX}{self.breaker}"

    @property
    def selector(self) -> dict[str, str]:
        """The selector; empty if the Service has none."""
        return dict(self.manifest["spec"].get("selector") or {})

    @property
    def mark(self) -> Mark | None:
        """The mark; None before the breaker's first step.

        Raises:
            Refused: the annotation cannot be read.

        """
        meta = self.manifest["metadata"]
        text = (meta.get("annotations") or {}).get(self.annotation)
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=Mark)
        except msgspec.DecodeError as error:
            raise Refused(
                f"Service {meta.get('name')}: the annotation {self.annotation} cannot be read ({error}): "
                "give the Service the selector that it should have, then remove the annotation"
            ) from error

    @property
    def prior(self) -> dict[str, str] | None:
        """The selector before the traffic was moved; None while the target has its traffic."""
        mark = self.mark
        return mark.prior if mark is not None else None

    def has_own_selector(self) -> bool:
        """Say whether the selector is the one that Fuseboard has set last."""
        mark = self.mark
        return mark is not None and self.selector == mark.ours

    def new_mark(self, shares: Shares | None) -> Mark:
        """Return a mark for the present selector, without a fence; ``shares`` is None for another client's selector."""
        return Mark(0, 0, shares or Shares(), {} if shares is None else self.selector)

    def patch(self, selector: dict[str, str], mark: Mark) -> Manifest:
        """Return one patch for selector and mark, valid for this version of the Service."""
        annotations = {self.annotation: msgspec.json.encode(mark).decode()}
        version = self.manifest["metadata"]["resourceVersion"]
        patch: Manifest = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        if selector != self.selector:
            removed = dict.fromkeys(self.selector.keys() - selector.keys())
            patch["spec"] = {"selector": {**removed, **selector}}
        return patch
