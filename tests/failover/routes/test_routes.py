"""The registry of route drivers."""

from __future__ import annotations

import pytest
import yaml

from fuseboard.failover.routes import DRIVERS
from fuseboard.policy.enums import RouteKind
from fuseboard.testing.policies import policy


@pytest.mark.parametrize("kind", RouteKind)
def test_each_kind_has_a_driver(kind: RouteKind) -> None:
    """Its example is a policy with a route of this kind, and it names the permissions that it needs."""
    driver = DRIVERS[kind]
    route = policy(**yaml.safe_load(driver.EXAMPLE)).spec.route
    assert route is not None
    assert route.kind is kind
    assert driver.PERMISSIONS
