"""Target and standby: the two workloads of a breaker."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Which workload of a breaker."""

    TARGET = "target"
    STANDBY = "standby"
