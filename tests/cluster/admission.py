"""Admission policies that stand in for what does not run: the scheduler, and Knative's webhook."""

from tests.cluster.api import Json

VERSION = "admissionregistration.k8s.io/v1"
BROKER_LABEL = "eventing.knative.dev/broker"


def placement(node: str) -> list[Json]:
    """Place a pod that names no node."""
    return _policy(
        "placement",
        resource=("", "v1", "pods"),
        when="!has(object.spec.nodeName)",
        patch=f'[JSONPatch{{op: "add", path: "/spec/nodeName", value: "{node}"}}]',
    )


def trigger_labels() -> list[Json]:
    """Label a Trigger with its Broker: by that the controllers find it when the Broker changes."""
    key = f'jsonpatch.escapeKey("{BROKER_LABEL}")'
    add = f'JSONPatch{{op: "add", path: "/metadata/labels/" + {key}, value: object.spec.broker}}'
    labels = 'JSONPatch{op: "add", path: "/metadata/labels", value: {}}'
    return _policy(
        "trigger-labels",
        resource=("eventing.knative.dev", "v1", "triggers"),
        when=f'!("{BROKER_LABEL}" in object.metadata.?labels.orValue({{}}))',
        patch=f"has(object.metadata.labels) ? [{add}] : [{labels}, {add}]",
    )


def _policy(name: str, *, resource: tuple[str, str, str], when: str, patch: str) -> list[Json]:
    group, version, plural = resource
    rule = {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["CREATE"],
        "resources": [plural],
    }
    return [
        {
            "apiVersion": VERSION,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [{"name": "needed", "expression": when}],
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
            },
        },
        {
            "apiVersion": VERSION,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    ]
