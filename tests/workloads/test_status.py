"""The status of a Deployment or a StatefulSet is read from its object."""

from __future__ import annotations

import pytest

from fuseboard.errors import InvalidInput
from fuseboard.testing.objects import deployment, stateful_set
from fuseboard.workloads.status import read_workload


@pytest.mark.parametrize(("replicas", "desired"), [(None, 1), (0, 0), (7, 7)])
def test_desired_is_what_the_spec_says(replicas: int | None, desired: int) -> None:
    """One, where it says nothing."""
    assert read_workload("Deployment", deployment(replicas)).desired == desired
    assert read_workload("StatefulSet", stateful_set(replicas)).desired == desired


def test_what_is_no_workload_says_so() -> None:
    """It is left out, and holds up nothing."""
    with pytest.raises(InvalidInput, match="not a Deployment"):
        read_workload("Deployment", {"metadata": {"name": "x"}})
