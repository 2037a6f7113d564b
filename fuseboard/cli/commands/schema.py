"""``fuseboard schema``: the CustomResourceDefinition of CircuitBreaker."""

from __future__ import annotations

import click

from fuseboard.crd import definition as crd


@click.command()
def schema() -> None:
    """Print the CustomResourceDefinition of CircuitBreaker as YAML.

    \b
    Examples:
      fuseboard schema | kubectl apply --server-side -f -
      fuseboard schema > knative/base/circuitbreakers.yaml
    """
    click.echo(crd.as_yaml(), nl=False)
